use std::time::Duration;

/// Figures of a hub at one time, from [`Hub::stats`](super::Hub::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    pub(super) memory: usize,
    pub(super) topics: usize,
    pub(super) events: usize,
    pub(super) subscribers: usize,
    pub(super) evicted: u64,
    pub(super) gaps: u64,
    pub(super) lag: Option<Duration>,
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

    /// Returns the number of subscriptions, where one to several topics counts in each of them.
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

    /// Returns the age of the newest event when this process received it, `None` for a hub without a
    /// [broker](super::Hub::connect). It is zero before the first event after the history.
    ///
    /// While this process catches up, it is the time by which it is behind. It does not grow while
    /// the connection is down; the broker's health reports that.
    #[must_use]
    pub const fn lag(&self) -> Option<Duration> {
        self.lag
    }
}
