use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Broker, Hub, Retention,
    faults::Fault,
    feed::Feed,
    link::Link,
    registry::{Registry, RetentionOf},
    shared::Shared,
};
use crate::history::Epoch;

/// Builds a [`Hub`] with limits of what it keeps.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::Hub;
///
/// let hub = Hub::builder()
///     .retain_events(1024)
///     .retain_bytes(1 << 20)
///     .retain_for(Duration::from_secs(300))
///     .max_memory(64 << 20)
///     .build();
/// # _ = hub;
/// ```
#[must_use]
pub struct HubBuilder {
    retention: Retention,
    retention_of: Option<Box<RetentionOf>>,
    max_memory: usize,
    pub(super) fault: Fault,
}

impl HubBuilder {
    pub(super) const fn new() -> Self {
        Self {
            retention: Retention::new(),
            retention_of: None,
            max_memory: 64 << 20,
            fault: Fault::NONE,
        }
    }

    /// Limits how many events each topic keeps to the newest `events`. The default is 1,024.
    ///
    /// # Panics
    ///
    /// Panics if `events` is zero, as subscribers read only kept events.
    #[track_caller]
    pub fn retain_events(mut self, events: usize) -> Self {
        self.retention = self.retention.events(events);
        self
    }

    /// Limits the total size of the events of each topic to `bytes` on the wire. The default is
    /// 1 MiB. The newest event is kept whatever its size.
    pub fn retain_bytes(mut self, bytes: usize) -> Self {
        self.retention = self.retention.bytes(bytes);
        self
    }

    /// Limits the age of the events of each topic. The default is 5 minutes.
    ///
    /// Old events are evicted by other operations, not by a timer:
    ///
    /// - Publishing and subscribing evict the old events of their own topic.
    /// - Publishing also evicts the old events of 16 other topics, in rotation: once a millisecond, or
    ///   sooner if at least four topics have started to keep events since the last time.
    /// - Without publishing or subscribing, nothing is evicted.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.retention = self.retention.age(age);
        self
    }

    /// Sets the limits of individual topics by name. For a name for which the closure returns
    /// `None`, the limits of this builder apply.
    ///
    /// The closure is called whenever a topic is created, possibly by several threads at once. No
    /// lock is held during the call. The closure may use other topics of the hub; using the topic
    /// itself recurses infinitely.
    pub fn retention_of<F>(mut self, retention_of: F) -> Self
    where
        F: Fn(&str) -> Option<Retention> + Send + Sync + 'static,
    {
        self.retention_of = Some(Box::new(retention_of));
        self
    }

    /// Limits the total memory of all events and topics to `bytes`. The default is 64 MiB.
    ///
    /// | counted | bytes |
    /// |---|---|
    /// | an event | its size on the wire and 112 |
    /// | a topic that keeps events | 560 and its name |
    /// | a frame kept for subscribers that are behind, up to 16 of each topic | its size, at most 20 KiB |
    /// | a frame that is shared with clients | 170 |
    ///
    /// | not counted | bytes |
    /// |---|---|
    /// | a topic with subscriptions that keeps no events | about 400 and its name, with its first subscription |
    /// | evicted events and frames that a server still has to send | their size, once for all clients that hold them |
    ///
    /// A publish that exceeds the limit examines up to 32 batches of 32 topics that keep events until
    /// the limit is met, and more if the excess would grow; the next publish continues. Of each
    /// batch it evicts in this order:
    ///
    /// 1. frames, which can be assembled again;
    /// 2. events of topics without subscriptions, starting with the topic that was published to
    ///    least recently;
    /// 3. the older half of the largest topic.
    ///
    /// An event larger than the limit is not kept, and its subscribers receive a gap. With a limit of
    /// zero, that applies to every event.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.max_memory = bytes;
        self
    }

    /// Returns the hub.
    #[must_use]
    pub fn build(self) -> Hub {
        Hub::of(self.shared(Epoch::now(), None))
    }

    /// Connects to a broker, as [`Hub::connect`] does, and returns the hub.
    ///
    /// The history is loaded up to the age of [`retain_for`](Self::retain_for), also for topics that
    /// keep events longer by [`retention_of`](Self::retention_of).
    ///
    /// # Errors
    ///
    /// Returns the error of the broker if it cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the connection.
    pub async fn connect<B: Broker>(self, broker: B) -> Result<Hub, B::Error> {
        let closed = CancellationToken::new();
        let max_age = self.retention.age;
        let link = Link::new(closed.clone());
        let shared = self.shared(Epoch::of_name(&broker.name()), Some(link));
        let publisher = broker.start(Feed::new(&shared, closed, max_age)).await?;
        if let Some(link) = shared.link() {
            link.set_publisher(Box::new(publisher));
        }
        Ok(Hub::of(shared))
    }

    fn shared(self, epoch: Epoch, link: Option<Link>) -> Arc<Shared> {
        let registry = Registry::new(self.retention, self.retention_of, self.max_memory);
        Arc::new(Shared::new(epoch, registry, link, self.fault))
    }
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("retention", &self.retention)
            .field("max_memory", &self.max_memory)
            .finish_non_exhaustive()
    }
}
