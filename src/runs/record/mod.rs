//! One run: its phase, the log of its events, and the clients that read it.
//!
//! - [`Record`] appends the events that [`Cutter`] cuts out of the source's bytes. Small ones share
//!   memory, a [`Chunk`](cutter::Chunk). The record's lock protects its [`State`].
//! - A [`MirrorWriter`] changes the record of a run of another process, as that process reports.
//!   `recorded_options.rs` encodes the options of a run's answer.
//! - The oldest events of a run are evicted when [`Record::append`] reaches its size limit.
//!   [`MirrorWriter::give_way`] evicts the events of a mirror. Whole runs are evicted in `process/`.
//! - [`Deferred`] is the work of a change that waits until no lock is held.
//! - [`Reader`] is the position of one client. [`Readers`](record::Readers) are the positions of
//!   all clients.

mod cutter;
mod mirror;
mod reader;
#[allow(clippy::module_inception)]
mod record;
mod recorded_options;

pub(crate) use self::cutter::Cutter;
pub use self::mirror::{MirrorWriter, Mirrored};
pub(crate) use self::reader::{NoEvents, Reader};
pub(crate) use self::record::{Appended, Deferred, State, lines_of, until};
pub use self::record::{Phase, Record};
