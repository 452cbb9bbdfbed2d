//! The history of one topic or run: a log of its recent events, and the clients that wait for the
//! next one.
//!
//! - [`Log`] keeps the events, evicts them, and decides which of them a subscriber reads at a time.
//!   `frames.rs` shares copied events among subscribers that are
//!   behind.
//! - [`Position`] is the id of an event: an [`Epoch`] and a sequence number. `id.rs` also parses
//!   last event ids.
//! - [`Waiters`] has the wakers of the subscribers that wait for the next event.
//!
//! Outside of the simulation, this module depends only on `callback`, `event`, `lock` and
//! `LastEventId`, never on its users.

mod frames;
mod id;
mod log;
mod memory;
mod retention;
mod waiters;

pub(crate) use crate::sync;
pub(crate) use crate::wake::{drop_waker, wake};

pub use self::id::{Epoch, seen};
pub(crate) use self::id::{Position, ResumeFrom, UnknownId, milliseconds, now};
pub(crate) use self::log::{Batch, ENTRY_OVERHEAD, Evicted, Limits, Log};
pub(crate) use self::memory::{DeferredDrops, MemoryCounter, MemoryShare};
pub use self::retention::Retention;
pub(crate) use self::waiters::{Ticket, Waiters, WakeList};
