//! Publishing in batches, and the proof that what the server acknowledged reaches the hub.
//!
//! | | |
//! |---|---|
//! | `publisher.rs` | publishes an event before its deadline |
//! | `entry.rs` | an event in the queue, and whether it is sent |
//! | `batcher.rs` | the task that sends one batch after another |
//! | `append.rs` | the statement that the batcher sends |

mod append;
mod batcher;
mod entry;
#[allow(clippy::module_inception)]
mod publisher;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tower_sse::hub::broker::support;

use self::entry::Entry;
use crate::connection::Connection;

pub use self::publisher::PostgresPublisher;
pub(crate) use self::{append::Situation, batcher::Batcher};

/// The gate of a hub's publishers, over the connection that they share.
pub(crate) type Gate = support::Gate<Arc<Connection>>;
pub(crate) type Session = support::Session<Arc<Connection>>;

/// The events that wait for the batch before them. `None` requests that the rows of the inbox are
/// numbered.
pub(crate) type Queue = UnboundedSender<Option<Entry>>;
