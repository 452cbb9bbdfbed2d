//! Publishing, and the proof that what Redis acknowledged reaches the hub.
//!
//! - [`RedisPublisher`] publishes events before their deadline.
//! - `acknowledgement.rs` sends an event and awaits its acknowledgement.
//! - [`Gate`] stops publishers until the reader has caught up.
//! - `Ledger` compares what Redis has acknowledged with what the reader meets. `Recent` has the
//!   entries that were read while events are in flight.

mod acknowledgement;
mod gate;
mod ledger;
#[allow(clippy::module_inception)]
mod publisher;
mod recent;
#[cfg(test)]
mod tests;

pub(super) use self::{
    gate::{Gate, Session},
    publisher::RedisPublisher,
};
