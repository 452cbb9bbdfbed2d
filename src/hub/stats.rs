use std::time::Duration;

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
    /// connection is down; see [`RedisHealth`](crate::redis::RedisHealth).
    #[must_use]
    pub const fn lag(&self) -> Option<Duration> {
        self.lag
    }
}
