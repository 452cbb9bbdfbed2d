//! The history of one topic or run: its limits, the ids of its events, a log of the recent events,
//! and the clients that wait for the next event. Of this crate, the module uses only `event`,
//! `wake`, `LastEventId` and the simulation's clock, but neither the hub nor runs.

mod frames;
mod id;
mod log;
mod memory;
mod waiters;

pub use self::id::{Epoch, seen};
pub(crate) use self::id::{Position, ResumeFrom, UnknownId, milliseconds, now};
pub(crate) use self::log::{Batch, ENTRY_OVERHEAD, Evicted, Limits, Log};
pub(crate) use self::memory::{DeferredDrops, MemoryCounter, MemoryShare};
pub(crate) use self::waiters::{Ticket, Waiters, WakeList};
