//! Reading the stream into the hub, and finding every loss.
//!
//! - [`Follower`] is the task that follows the stream, and reconnects when a connection breaks.
//! - [`Reader`] reads the stream. `entries.rs` feeds the entries to the hub. `losses.rs` reports
//!   trimmed entries, and marks other losses.

mod entries;
mod follower;
mod losses;
#[allow(clippy::module_inception)]
mod reader;

pub(super) use self::{follower::Follower, reader::Reader};
