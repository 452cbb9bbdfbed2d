use std::{pin::Pin, time::Duration};

use crate::{event::Event, hub::PublishError};

/// A future that waits for the broker's acknowledgement.
pub(crate) type Publishing =
    Pin<Box<dyn Future<Output = Result<Acknowledged, PublishError>> + Send>>;

/// An event that the broker has acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub sequence: u64,
    /// The time at which it was published, by the clock that all processes share.
    pub at: Duration,
}

/// The connection over which a hub sends events to its broker.
pub trait Publisher: Send + Sync + 'static {
    /// Returns a future that publishes the event, which ends its topic if it `is_last`. Nothing is
    /// sent before its first poll.
    fn publish(&self, topic: &str, event: &Event, is_last: bool) -> Publishing;

    /// Returns the highest sequence number that the broker may have assigned so far. A client's id
    /// with a higher one is malformed. `committed` is the newest that this process has received.
    fn newest_possible(&self, committed: u64) -> u64;
}
