//! Publishing in batches, and the proof that what the server acknowledged reaches the hub.
//!
//! | | |
//! |---|---|
//! | `publisher.rs` | publishes an event before its deadline |
//! | `entry.rs` | an event, and its publisher's reply |
//! | `queue.rs` | the events that wait for the next batch |
//! | `batcher.rs` | the task that sends one batch after another |
//! | `append.rs` | the statement that the batcher sends |

mod append;
mod batcher;
mod entry;
#[allow(clippy::module_inception)]
mod publisher;
mod queue;

use std::sync::Arc;

use tower_sse::hub::broker::support;

use crate::connection::Connection;

pub use self::publisher::PostgresPublisher;
pub(crate) use self::{append::Situation, batcher::Batcher, queue::Queue};

/// The gate of a hub's publishers, over the connection that they share.
pub(crate) type Gate = support::Gate<Arc<Connection>>;
pub(crate) type Session = support::Session<Arc<Connection>>;
