//! Publishing, and the proof that what Redis acknowledged reaches the hub.
//!
//! - [`RedisPublisher`] sends events, and awaits their acknowledgements.
//! - [`Gate`] stops publishers until the reader has caught up. It holds the `Acknowledgements`, by
//!   which the reader checks that it meets every acknowledged event.
//! - `Recent` has the entries that were read while events are in flight.

mod acknowledgements;
mod gate;
#[allow(clippy::module_inception)]
mod publisher;
mod recent;

pub(super) use self::{
    gate::{Gate, Session},
    publisher::{PublisherInner, RedisPublisher},
};
