use std::{fmt, time::Duration};

use crate::prometheus::{counter, gauge};

/// Statistics of a hub, as returned by [`Hub::stats`](super::Hub::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    pub(crate) memory: usize,
    pub(crate) topics: usize,
    pub(crate) events: usize,
    pub(crate) subscribers: usize,
    pub(crate) evicted: u64,
    pub(crate) gaps: u64,
    pub(crate) lag: Option<Duration>,
}

impl HubStats {
    /// Returns the memory of all events and topics in bytes, as
    /// [`max_memory`](super::HubBuilder::max_memory) counts it.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the number of topics that have subscriptions or keep events.
    #[must_use]
    pub const fn topics(&self) -> usize {
        self.topics
    }

    /// Returns the number of events that are kept.
    #[must_use]
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Returns the number of subscriptions in this process, summed over all topics. A subscription
    /// to several topics counts once for each.
    #[must_use]
    pub const fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Returns the number of events that were evicted since the hub was created.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns the number of gaps that subscriptions have sent since the hub was created.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Returns how old the newest event was when this process received it from the
    /// [broker](super::Hub::connect), or `None` if the hub has no broker. It is zero until the
    /// first event that is not part of the loaded history.
    ///
    /// While this process catches up, this shows how far it is behind. It does not grow while the
    /// connection is down; see the health of the broker, such as
    /// [`RedisHealth`](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.RedisHealth.html).
    #[must_use]
    pub const fn lag(&self) -> Option<Duration> {
        self.lag
    }
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
