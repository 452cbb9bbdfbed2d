use std::time::Duration;

use tower_sse::hub::broker::Feed;

use crate::{Error, ErrorKind, LogStats};

/// The minimum of `max_events`. With fewer, a process that is briefly behind could lose events.
const MIN_MAX_EVENTS: usize = 10_000;

/// The options that the brokers of all stores have.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The number of events above which the oldest are removed.
    pub max_events: u64,
    /// The age after which entries are removed.
    pub max_age: Option<Duration>,
    /// How long publishing an event may take.
    pub publish_deadline: Duration,
    /// The maximum age in the hub's retention, if limited. Set by [`adopt`](Self::adopt).
    pub retention_age: Option<Duration>,
}

impl LogOptions {
    /// Creates options with a limit of 100,000 events and no limit on their age.
    #[must_use]
    pub const fn new(publish_deadline: Duration) -> Self {
        Self { max_events: 100_000, max_age: None, publish_deadline, retention_age: None }
    }

    /// Sets the maximum number of events, capped at `i64::MAX`, which is the stores' maximum.
    ///
    /// # Panics
    ///
    /// Panics if `events` is less than 10,000.
    #[track_caller]
    pub fn set_max_events(&mut self, events: usize) {
        assert!(events >= MIN_MAX_EVENTS, "a log must keep at least {MIN_MAX_EVENTS} events");
        self.max_events = (events as u64).min(i64::MAX as u64);
    }

    /// Records the hub's maximum age.
    ///
    /// # Errors
    ///
    /// Returns an error if the program has set a `max_age` below the hub's maximum age.
    pub fn adopt(&mut self, feed: &Feed) -> Result<(), Error> {
        let retained = feed.max_age();
        if self.max_age.is_some_and(|age| age < retained) {
            let reason = "`max_age` is less than the age of the hub's retention";
            return Err(Error::new("connect a hub", ErrorKind::Other, reason));
        }
        self.retention_age = (retained < Duration::MAX).then_some(retained);
        Ok(())
    }

    /// If the program hasn't set the maximum age of entries, sets it to one and a half times the
    /// hub's maximum age. If that isn't limited either, entries of any age are kept.
    pub fn limit_age(&mut self) {
        let default = |age: Duration| age.checked_add(age / 2);
        self.max_age = self.max_age.or_else(|| self.retention_age.and_then(default));
    }

    /// Returns a log's state with these options and this age. The other values are `None`.
    #[must_use]
    pub const fn log_stats(&self, oldest_age: Duration) -> LogStats {
        let Self { max_events, retention_age, .. } = *self;
        LogStats { events: None, max_events, oldest_age, retention_age, bytes: None }
    }
}
