//! One run: its phase, the log of its events, and the clients that read it.
//!
//! - [`Record`] appends the events that [`Cutter`] cuts out of the source's bytes. Small ones share
//!   memory, a [`Chunk`](chunk::Chunk). The record's lock protects its [`State`](state::State).
//! - A [`Mirror`] changes the record of a run of another process, as that process reports.
//!   `stream_options.rs` encodes the options of a run's answer.
//! - [`Deferred`] is the work of a change that waits until no lock is held.
//! - [`LastEvent`] is the event after which a cancelled run ends.
//! - [`Reader`] is the position of one client. [`Readers`] are the positions of all clients.

mod chunk;
mod cutter;
mod deferred;
mod id;
mod last_event;
mod messages;
mod mirror;
mod reader;
mod readers;
#[allow(clippy::module_inception)]
mod record;
mod state;
mod stream_options;

pub(crate) use self::{
    cutter::Cutter,
    deferred::Deferred,
    last_event::lines_of,
    reader::{NoEvents, Reader},
    record::Appended,
    state::State,
};
pub use self::{
    last_event::LastEvent,
    mirror::{Mirror, Mirrored},
    record::Record,
    state::Phase,
};
