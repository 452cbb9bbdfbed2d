//! One run: its phase, the log of its events, and the clients that read it.
//!
//! - [`Record`] appends the events that [`Cutter`] cuts out of the source's bytes. Its lock
//!   protects its [`State`](state::State).
//! - [`Reader`] is the position of one client. [`Readers`] are the positions of all clients.

mod cutter;
mod reader;
mod readers;
#[allow(clippy::module_inception)]
mod record;
mod state;

pub(crate) use self::{
    cutter::Cutter,
    reader::{Attached, Read, Reader},
    record::{Appended, Record},
    state::Phase,
};
