use std::time::Duration;

/// The limits of the events that are kept for each topic of a [hub](crate::hub): their number, size
/// and age.
///
/// ```
/// use tower_sse::{Retention, hub::Hub};
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
    events: usize,
    bytes: usize,
    pub(crate) age: Duration,
    pub(crate) is_latest: bool,
}

impl Retention {
    /// Returns the default limits: 1,024 events, 1 MiB and 5 minutes.
    pub const fn new() -> Self {
        Self { events: 1024, bytes: 1 << 20, age: Duration::from_secs(300), is_latest: false }
    }

    /// Returns limits for topics such as a price, in which each event replaces the previous one.
    /// The section [Only the newest value](crate::hub#only-the-newest-value) has an example, and
    /// says what clients receive.
    ///
    /// There is no age limit unless you set [`age`](Self::age): a topic keeps its newest event
    /// until memory is short. If these are the hub's limits, the name of a topic that has
    /// [ended](crate::hub::Hub::end) can still be used again after 5 minutes. With a
    /// [broker](crate::hub::Hub::connect), a new process might not load an event that is older than
    /// the age limit of [`HubBuilder::retention`](crate::hub::HubBuilder::retention).
    pub const fn latest() -> Self {
        Self { age: Duration::MAX, is_latest: true, ..Self::new() }
    }

    /// Keeps at most the newest `events` events of a topic. Turns [`latest`](Self::latest) off.
    ///
    /// A loop of [`publish`](crate::hub::Hub::publish) calls lets clients read after at most 128
    /// events. If a topic keeps fewer, a burst can evict events before a client that reads all the
    /// time has read them. The client then gets a gap.
    ///
    /// # Panics
    ///
    /// Panics if `events` is zero: subscribers receive an event only if its topic keeps it.
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

    /// Keeps at most `bytes` bytes of events for each topic. The size of an event is its length on
    /// the wire. This limit never evicts a topic's newest event.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Limits how long events are kept after they were published.
    ///
    /// A topic's old events are evicted when you publish or subscribe to it, not by a timer.
    /// Publishing also evicts the old events of up to 16 other topics.
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Returns how long the name of an ended topic stays taken.
    pub(crate) fn of_ended(self) -> Duration {
        let has_no_age = self.is_latest && self.age == Duration::MAX;
        if has_no_age { Self::new().age } else { self.age }
    }

    pub(crate) fn of_topic(self) -> (usize, usize, Duration) {
        (self.events, self.bytes, self.age)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
