//! Publishing, and the proof that what Redis acknowledged reaches the hub.
//!
//! - [`RedisPublisher`] publishes events before their deadline.
//! - `acknowledgement.rs` sends an event and awaits its acknowledgement.
//! - [`Gate`] stops publishers until the reader has caught up. Its ledger compares the entries that
//!   Redis has acknowledged with those that the reader reads.

mod acknowledgement;
#[allow(clippy::module_inception)]
mod publisher;

use tower_sse::hub::broker::support;

use super::stream::RedisStream;

pub(super) use self::publisher::RedisPublisher;

/// The gate of a hub's publishers, over the connection that they share.
pub(super) type Gate = support::Gate<RedisStream>;
pub(super) type Session = support::Session<RedisStream>;
