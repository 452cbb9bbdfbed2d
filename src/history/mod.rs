//! The history of one topic: a log of its recent events and the subscribers waiting for the next.
//!
//! Imports point one way: this module sees `event` and `LastEventId`, and its users see it.

mod batch;
mod deferred_drops;
mod frames;
mod log;
mod memory;
mod position;
pub(crate) mod sync;
mod waiters;

pub(crate) use self::{
    batch::Batch,
    deferred_drops::DeferredDrops,
    log::{Evicted, Limits, Log},
    memory::MemoryCounter,
    position::{Epoch, Position, ResumeFrom, UnknownId},
    waiters::{Ticket, Waiters, WakeList, drop_waker},
};
