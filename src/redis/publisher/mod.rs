//! Publishing, and the proof that what Redis acknowledged reaches the hub.
//!
//! - [`RedisPublisher`] publishes events before their deadline.
//! - `acknowledgement.rs` sends an event and awaits its acknowledgement.
//! - [`Gate`] stops publishers until the reader has caught up. Its ledger compares what Redis has
//!   acknowledged with what the reader meets.

mod acknowledgement;
#[allow(clippy::module_inception)]
mod publisher;

use super::stream::RedisStream;
use crate::hub::broker::support;

pub(super) use self::publisher::RedisPublisher;

/// The gate of a hub's publishers, over the connection that they share.
pub(super) type Gate = support::Gate<RedisStream>;
pub(super) type Session = support::Session<RedisStream>;
