use std::{fmt, time::Duration};

use crate::stats::{counter, gauge};

/// Statistics of a hub, as returned by [`Hub::stats`](super::Hub::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// The memory of all events and topics in bytes, as
    /// [`max_memory`](super::HubBuilder::max_memory) counts it.
    pub memory: usize,
    /// The number of topics that have subscriptions or keep events.
    pub topics: usize,
    /// The number of events that are kept.
    pub events: usize,
    /// The number of subscriptions in this process, summed over all topics. A subscription to
    /// several topics counts once for each topic.
    pub subscribers: usize,
    /// The number of events that were evicted since the hub was created. An event that a newer one
    /// [replaces](Retention::latest) does not count.
    pub evicted: u64,
    /// The number of gaps that subscriptions have sent since the hub was created.
    pub gaps: u64,
    /// How old the last event from the [broker](super::Hub::connect) was when it arrived in this
    /// process, or `None` if the hub has no broker. The lag is zero until the hub has loaded the
    /// broker's history and then received an event.
    ///
    /// After that, the lag shows how far this process is behind, for example while it catches up
    /// after a disconnection. The lag does not grow while the connection is down. To monitor the
    /// connection, use the broker's health, such as
    /// [`RedisHealth`](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.RedisHealth.html).
    pub lag: Option<Duration>,
}

impl fmt::Display for HubStats {
    /// Writes the statistics in the text format of Prometheus.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        gauge(f, "sse_hub_memory_bytes", "Memory of events and topics.", self.memory)?;
        gauge(f, "sse_hub_topics", "Topics that are used.", self.topics)?;
        gauge(f, "sse_hub_events", "Events that are kept.", self.events)?;
        gauge(f, "sse_hub_subscribers", "Subscriptions in this process.", self.subscribers)?;
        counter(f, "sse_hub_evicted_total", "Events that were evicted.", self.evicted)?;
        counter(f, "sse_hub_gaps_total", "Gaps that were sent.", self.gaps)?;
        let Some(lag) = self.lag else { return Ok(()) };
        let help = "Age of the newest event when it was received.";
        gauge(f, "sse_hub_lag_seconds", help, lag.as_secs_f64())
    }
}

/// The limits on the events that a topic keeps for clients that reconnect. All three limits
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

    /// Returns the limits of topics in which each event replaces the previous one, such as prices
    /// or vehicle locations. Such a topic has no age limit, unless [`age`](Self::age) sets one.
    ///
    /// - Without [`since`](super::Subscribe::since), a first visit begins with the newest event of
    ///   each such topic, together with the [`recent`](super::Subscribe::recent) events of other
    ///   topics.
    /// - A client that was away or is behind receives only the newest event of the topic. The
    ///   client receives a [gap](super::GapPolicy) only if that event is no longer kept or the
    ///   broker has lost events.
    ///
    /// [Only the newest value](super#only-the-newest-value) has an example. With a
    /// [broker](super::Hub::connect), a new process loads a topic's newest event only if the event
    /// is within the age limit of [`HubBuilder::retention`](super::HubBuilder::retention).
    pub const fn latest() -> Self {
        Self { events: 1, age: Duration::MAX, is_latest: true, ..Self::new() }
    }

    /// Limits the number of kept events of a topic to `events`: the newest are kept. Turns
    /// [`latest`](Self::latest) off: events no longer replace one another.
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

    /// Limits the total size of the kept events of a topic, as sent on the wire, to `bytes`. This
    /// limit never evicts the newest event.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Limits the age of the kept events of a topic.
    ///
    /// No timer evicts old events. Publishing or subscribing to a topic evicts that topic's old
    /// events. Publishing also evicts the old events of up to 16 other topics.
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
