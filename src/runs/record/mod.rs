//! One run. A [`Cutter`] cuts its stream into events, a [`Record`] keeps them, and a [`Reader`] is
//! a client's position among them. The record's lock protects its [`State`], and [`Deferred`]
//! collects the work that waits until no lock is held. A [`MirrorWriter`] changes the record of
//! another process's run.

mod cutter;
mod mirror;
mod reader;
mod record;
mod recorded_options;

pub(crate) use self::cutter::Cutter;
pub use self::mirror::{MirrorWriter, Mirrored};
pub(crate) use self::reader::{NoEvents, Reader};
pub(crate) use self::record::{Appended, Deferred, State, lines_of, until};
pub use self::record::{Phase, Record};
