use std::time::Duration;

/// The limits of the events that a topic keeps for clients that reconnect. All three limits
/// (number, size and age) apply.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::{Hub, Retention};
///
/// let hub = Hub::builder()
///     .retention(Retention::new().events(4096))
///     .retention_of(|topic| {
///         topic.starts_with("audit:").then(|| Retention::new().events(100_000).bytes(64 << 20))
///     })
///     .build();
/// # _ = hub;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    /// Whether each event replaces the one before it.
    pub(crate) is_latest: bool,
}

impl Retention {
    /// Returns the default limits: 1,024 events, 1 MiB and 5 minutes.
    pub const fn new() -> Self {
        Self { events: 1024, bytes: 1 << 20, age: Duration::from_secs(300), is_latest: false }
    }

    /// Returns the limits of topics in which each event replaces the one before it, such as prices
    /// and positions. A topic keeps its newest event at any age, unless [`age`](Self::age) is called: an
    /// older one is then evicted, as in other topics.
    ///
    /// - A first visit begins with the newest event of each such topic, besides the
    ///   [`recent`](super::Subscribe::recent) events of other topics.
    /// - A client that was away or is behind receives the newest event of the topic, once. It
    ///   receives a [gap](super::GapPolicy) only if that event is no longer kept, or after a loss.
    ///
    /// [Only the newest value](super#only-the-newest-value) has an example. With a
    /// [broker](super::Hub::connect), a process that starts later loads only values up to the age of
    /// [`HubBuilder::retention`](super::HubBuilder::retention).
    pub const fn latest() -> Self {
        Self { events: 1, age: Duration::MAX, is_latest: true, ..Self::new() }
    }

    /// Keeps the newest `events` events of a topic, none of which replaces another.
    ///
    /// # Panics
    ///
    /// Panics if `events` is zero, because subscribers read only kept events.
    #[track_caller]
    pub const fn events(mut self, events: usize) -> Self {
        assert!(
            events > 0,
            "a topic must keep at least one event, as subscribers read only kept events"
        );
        self.events = events;
        self.is_latest = false;
        self
    }

    /// Limits the total size of the kept events to `bytes` on the wire. This limit alone never
    /// evicts the newest event.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Limits the age of the kept events.
    ///
    /// No timer evicts old events. Publishing and subscribing evict those of their own topic, and
    /// each publish also evicts those of up to 16 other topics.
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
