use std::time::Duration;

/// How much a [hub](crate::hub) keeps of each topic, and [`Runs`](crate::runs::Runs) of each run,
/// for clients that reconnect. All limits (number, size and age) apply.
///
/// ```
/// # #[cfg(all(feature = "hub", feature = "runs"))] {
/// use std::time::Duration;
/// use tower_sse::{Retention, hub::Hub, runs::Runs};
///
/// let hub = Hub::builder()
///     .retention(Retention::new().events(4096))
///     .retention_of(|topic| {
///         topic.starts_with("audit:").then(|| Retention::new().events(100_000).bytes(64 << 20))
///     })
///     .build();
/// let hour = Duration::from_secs(3600);
/// let runs = Runs::builder().retention(Retention::new().bytes(256 << 10).age(hour)).build();
/// # _ = (hub, runs);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    /// `None` for the default of a topic. A run has no such limit.
    events: Option<usize>,
    /// `None` for the default of a topic or of a run.
    bytes: Option<usize>,
    pub(crate) age: Duration,
    /// Whether each event replaces the one before it.
    pub(crate) is_latest: bool,
}

impl Retention {
    /// Returns the default limits. For a topic, these are 1,024 events, 1 MiB and 5 minutes; for a
    /// run, 2 MiB and 5 minutes.
    pub const fn new() -> Self {
        Self { events: None, bytes: None, age: Duration::from_secs(300), is_latest: false }
    }

    /// Returns the limits of topics in which each event replaces the previous one, such as prices
    /// or vehicle locations. Such a topic has no age limit, unless [`age`](Self::age) sets one.
    /// These limits are for topics only: [`RunsBuilder::retention`] panics if it gets them.
    ///
    /// - Without [`since`](crate::hub::Subscribe::since), a first visit begins with the newest event
    ///   of each such topic, together with the [`recent`](crate::hub::Subscribe::recent) events of
    ///   other topics.
    /// - A client that was away or is behind receives only the newest event of the topic. The
    ///   client receives a [gap](crate::hub::GapPolicy) only if that event is no longer kept or the
    ///   broker has lost events.
    ///
    /// [Only the newest value](crate::hub#only-the-newest-value) has an example. With a
    /// [broker](crate::hub::Hub::connect), a new process loads a topic's newest event only if the
    /// event is within the age limit of
    /// [`HubBuilder::retention`](crate::hub::HubBuilder::retention).
    ///
    /// [`RunsBuilder::retention`]: crate::runs::RunsBuilder::retention
    pub const fn latest() -> Self {
        Self { age: Duration::MAX, is_latest: true, ..Self::new() }
    }

    /// Limits the number of kept events of a topic to `events`: the newest are kept. Turns
    /// [`latest`](Self::latest) off: events no longer replace one another. A run has no such limit:
    /// [`RunsBuilder::retention`](crate::runs::RunsBuilder::retention) panics if one is set.
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
        self.events = Some(events);
        self.is_latest = false;
        self
    }

    /// Limits the total size of the kept events to `bytes`.
    ///
    /// For a topic, an event counts as its size on the wire, and the newest event is never evicted.
    /// For a run, an event counts as its size on the wire plus 112 bytes, because memory is
    /// [reserved](crate::runs::RunsBuilder::retention) for each run.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Limits the time for which events are kept: those of a topic after they were published, and
    /// those of a run after its end.
    ///
    /// No timer evicts old events of a topic. Publishing or subscribing to a topic evicts that
    /// topic's old events. Publishing also evicts the old events of up to 16 other topics.
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Returns the limits of a topic: the number, the size and the age of its events.
    pub(crate) fn of_topic(self) -> (usize, usize, Duration) {
        (self.events.unwrap_or(1024), self.bytes.unwrap_or(1 << 20), self.age)
    }

    /// Returns the limits of a run: its memory, and the time for which it is kept after its end.
    #[track_caller]
    pub(crate) fn of_run(self) -> (usize, Duration) {
        let is_of_topic = self.is_latest || self.events.is_some();
        assert!(
            !is_of_topic,
            "`Retention::events` and `Retention::latest` are for topics, not runs"
        );
        assert!(self.bytes != Some(0), "the size of a run must not be zero");
        (self.bytes.unwrap_or(2 << 20), self.age)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
