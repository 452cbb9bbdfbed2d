use std::{fmt::Display, time::Duration};

use crate::stats::Metrics;

/// Statistics of a hub, as returned by [`Hub::stats`](super::Hub::stats).
///
/// Each field except `gaps` names its metric in [`prometheus`](Self::prometheus). With a broker,
/// processes keep copies of the same events: across processes, take the maximum of `topics`,
/// `events`, `evicted` and `lag`, and add up the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// The memory of all events and topics in bytes, as
    /// [`max_memory`](super::HubBuilder::max_memory) counts it: `sse_hub_memory_bytes`. Above the
    /// limit, the hub evicts the oldest events.
    pub memory: usize,
    /// The number of topics that have subscriptions in this process or keep events:
    /// `sse_hub_topics`.
    pub topics: usize,
    /// The number of events that are kept: `sse_hub_events`.
    pub events: usize,
    /// The number of subscriptions in this process. A subscription to several topics counts once
    /// for each topic: `sse_hub_subscribers`.
    pub subscribers: usize,
    /// The number of events that have been evicted since the hub was created, not counting those
    /// that a newer event [replaced](crate::Retention::latest): `sse_hub_evicted_total`. Clients
    /// that keep up have usually received them already.
    pub evicted: u64,
    /// The number of gaps that subscriptions have sent since the hub was created, for any reason.
    pub gaps: u64,
    /// How many gaps were sent for each reason, including reasons with a count of zero:
    /// `sse_hub_gaps_total` with the label `reason`.
    pub gaps_by_reason: Vec<(GapReason, u64)>,
    /// How far this process is behind its [broker](super::Hub::connect), as the age of the newest
    /// event when it arrived: `sse_hub_lag_seconds`. It's `None` without a broker, and zero until
    /// the first event arrives after the hub has connected. It changes only when an event arrives.
    /// To notice a lost connection, use the broker's health type, such as
    /// [`tower_sse_redis::Health`](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.Health.html).
    pub lag: Option<Duration>,
}

impl HubStats {
    /// Returns the statistics as metrics in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> impl Display + use<> {
        let gaps = self.gaps_by_reason.iter().map(|(reason, gaps)| (reason.as_str(), *gaps));
        let help = "Gaps that were sent, by reason.";
        let metrics = Metrics::default()
            .gauge("sse_hub_memory_bytes", "Memory of events and topics.", self.memory)
            .gauge("sse_hub_topics", "Topics that are used.", self.topics)
            .gauge("sse_hub_events", "Events that are kept.", self.events)
            .gauge("sse_hub_subscribers", "Subscriptions in this process.", self.subscribers)
            .counter("sse_hub_evicted_total", "Events that were evicted.", self.evicted)
            .labelled("counter", "sse_hub_gaps_total", help, "reason", gaps);
        let Some(lag) = self.lag else { return metrics };
        let help = "Age of the newest event when it was received.";
        metrics.gauge("sse_hub_lag_seconds", help, lag.as_secs_f64())
    }
}

named_enum! {
    /// The reason for a [gap](super::GapPolicy).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum GapReason {
        /// The hub may have evicted events before the client received them, usually because the
        /// client was away for too long, or didn't read fast enough. With
        /// [`since`](super::Subscribe::since), a client that returns with an id of the hub gets
        /// this reason even if events were lost or a gap was reported.
        Evicted = "evicted",
        /// The [broker](super::Hub::connect) may have lost events.
        Lost = "lost",
        /// The program [reported](super::Hub::gap) the gap, and the hub still keeps the event
        /// before the gap.
        Reported = "reported",
        /// The client's id is of another hub, for example from before a restart. With
        /// [`own_ids`](super::Subscribe::own_ids), the reason is `UnknownId` instead.
        OtherHub = "other_hub",
        /// No hub has assigned the client's id, or this hub hasn't yet. With
        /// [`since`](super::Subscribe::since), also if [`ReportAndEnd`](super::GapPolicy) has ended
        /// the client's last stream, or if the position passed to `since` is of another hub.
        UnknownId = "unknown_id",
    }
}
