//! One run: its phase, the log of its events, and the clients that read it.
//!
//! - [`Record`] appends the events that [`Cutter`] cuts out of the source's bytes. Small ones share
//!   memory, a [`Chunk`](chunk::Chunk). The record's lock protects its [`State`](state::State).
//! - `mirrored.rs` has what a run of another process needs: its record changes as that process
//!   reports. `eviction.rs` is what it gives up when memory is short.
//! - [`Reader`] is the position of one client. [`Readers`] are the positions of all clients.

mod chunk;
mod cutter;
mod eviction;
mod id;
mod messages;
mod mirrored;
mod reader;
mod readers;
#[allow(clippy::module_inception)]
mod record;
mod state;

pub(crate) use self::{
    cutter::Cutter,
    mirrored::Mirrored,
    reader::{NoEvents, Reader},
    record::{Appended, MAX_OVERHEAD, Record},
    state::Phase,
};
