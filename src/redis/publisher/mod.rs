//! Publishing, and the proof that what Redis acknowledged reaches the hub.
//!
//! - [`RedisPublisher`] sends events, and awaits their acknowledgements.
//! - [`Gate`] stops publishers until the reader has caught up. It holds the `Acknowledgements`, by
//!   which the reader checks that it meets every acknowledged event.
//! - `Announcements` knows whether a topic can have ended before an event that was acknowledged.
//!   `end.rs` ends a topic.
//! - `Recent` has the entries that were read while events are in flight.

mod acknowledgements;
mod announcements;
mod end;
mod gate;
#[allow(clippy::module_inception)]
mod publisher;
mod recent;
#[cfg(test)]
mod tests;

pub(super) use self::{
    gate::{Gate, Session},
    publisher::{PublisherInner, RedisPublisher},
};
