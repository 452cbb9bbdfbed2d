//! One run: its phase, the log of its events, and the clients that read it.
//!
//! - [`Record`] appends the events that [`Cutter`] cuts out of the source's bytes. Small ones share
//!   memory, a [`Chunk`](chunk::Chunk). The record's lock protects its [`State`](state::State).
//! - `mirrored.rs` has what a run of another process needs: its record changes as that process
//!   reports. `eviction.rs` drops its events when memory is short.
//! - [`Deferred`] is the work of a change that waits until no lock is held.
//! - [`LastEvent`] is the event after which a cancelled run ends.
//! - [`Reader`] is the position of one client. [`Readers`] are the positions of all clients.

mod chunk;
mod cutter;
mod deferred;
mod eviction;
mod id;
mod last_event;
mod messages;
mod mirrored;
mod reader;
mod readers;
#[allow(clippy::module_inception)]
mod record;
mod state;

pub(crate) use self::{
    cutter::Cutter,
    deferred::Deferred,
    last_event::{LastEvent, lines_of},
    mirrored::Mirrored,
    reader::{NoEvents, Reader},
    record::{Appended, Record},
    state::{Phase, State},
};
