//! The history of one topic or run: a log of its recent events, and the clients that wait for the
//! next one.
//!
//! - [`Log`] keeps the events. `eviction.rs` evicts them. `batch.rs` decides which events a
//!   subscriber reads at a time, and `frames.rs` shares copied events among subscribers that are
//!   behind.
//! - [`Position`] is the id of an event: an [`Epoch`] and a sequence number. `resume_from.rs` parses
//!   last event ids.
//! - [`Waiters`] has the wakers of the subscribers that wait for the next event.
//!
//! Outside of the simulation, this module depends only on `callback`, `event`, `lock` and
//! `LastEventId`, never on its users.

mod batch;
mod deferred_drops;
mod epoch;
mod eviction;
mod frames;
mod log;
mod memory;
mod position;
mod resume_from;
pub(crate) mod sync;
mod waiters;

pub(crate) use self::{
    batch::Batch,
    deferred_drops::DeferredDrops,
    epoch::{milliseconds, now},
    log::{Evicted, Limits, Log},
    memory::{MemoryCounter, MemoryShare},
    position::Position,
    resume_from::{ResumeFrom, UnknownId},
    waiters::{Ticket, Waiters, WakeList, drop_waker, wake},
};
pub use self::{epoch::Epoch, log::ENTRY_OVERHEAD, resume_from::seen};
