use std::pin::Pin;

use super::{PublishError, feed::Feed};
use crate::{BoxError, event::Event};

/// An engine that carries the events of one hub between processes.
///
/// [`Hub::connect`](super::Hub::connect) takes one. The trait is sealed; this is its
/// implementation:
///
/// - [`Redis`](crate::redis::Redis) (feature `redis`): Redis Streams, for Redis 7 or Valkey.
pub trait Broker: sealed::Broker {}

pub(crate) mod sealed {
    use super::{BoxError, Feed, Publisher};

    /// An engine that numbers events and hands each one to every hub.
    pub trait Broker: Send + Sized + 'static {
        /// What can go wrong while it connects.
        type Error: Into<BoxError>;

        /// Returns the name that the processes of one hub share, and no other hub has. Ids of
        /// events begin with a hash of it.
        fn name(&self) -> String;

        /// Connects, loads the history, and from then on feeds what is published.
        ///
        /// The feeding ends when the future is dropped, or the hub is
        /// [gone](Feed::run_until_closed).
        fn start(
            self,
            feed: Feed,
        ) -> impl Future<Output = Result<impl Publisher, Self::Error>> + Send;
    }
}

/// An acknowledgement that is awaited: the sequence number of the published event.
pub(crate) type Publishing = Pin<Box<dyn Future<Output = Result<u64, PublishError>> + Send>>;

/// The way of events from a hub to its broker.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes an event, when the returned future is polled.
    fn publish(&self, topic: &str, event: &Event) -> Publishing;

    /// Returns the highest sequence number that the broker may have assigned by now. Higher ones in
    /// a client's id are malformed. `committed` is the newest that this process has received.
    fn newest_possible(&self, committed: u64) -> u64;
}
