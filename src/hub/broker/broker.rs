use super::feed::Feed;
use crate::{BoxError, hub::link::Publisher, sealed::Sealed};

/// An engine that carries the events of one hub between processes.
///
/// [`Hub::connect`](crate::hub::Hub::connect) takes one. The trait is sealed. Its implementations are:
///
/// - [`Redis`](crate::redis::Redis) (feature `redis`): Redis Streams, for Redis 7 or Valkey.
/// - [`MemoryBroker`](crate::testing::MemoryBroker) (feature `testing`): hubs of one process, for
///   tests.
pub trait Broker: Sealed + Send + Sized + 'static {
    /// The error of a failed connection.
    type Error: Into<BoxError>;

    /// Returns the name that all processes of one hub share and that no other hub has. Ids of
    /// events begin with a hash of it.
    #[doc(hidden)]
    fn name(&self) -> String;

    /// Connects, loads the history into `feed`, and from then on feeds each published event.
    ///
    /// Feeding ends when this future is dropped before it is ready, or when the hub is [closed or
    /// dropped](Feed::run_until_closed).
    #[doc(hidden)]
    fn start(self, feed: Feed) -> impl Future<Output = Result<impl Publisher, Self::Error>> + Send;
}
