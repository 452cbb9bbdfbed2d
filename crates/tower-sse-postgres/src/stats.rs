use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_sse::hub::broker::support::lock;
use tower_sse_broker::Health;

use crate::Error;

/// The numbers of a hub's log, for metrics, from [`Postgres::stats`](crate::Postgres::stats).
///
/// Clones share the same numbers. [`PostgresHealth::waiting`](crate::PostgresHealth::waiting) has
/// those of the inbox.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    health: Health<Error>,
    log: Arc<Mutex<Option<LogStats>>>,
}

/// The state of a hub's log, from [`BrokerStats::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The age of the oldest row of the stream, by the server's clock.
    ///
    /// If it is less than [`retention_age`](Self::retention_age) for longer than that time,
    /// [`max_rows`](crate::Postgres::max_rows) is too low: a process that starts loads a part of the
    /// history, and one that is disconnected for longer than this age loses events.
    pub oldest_age: Duration,
    /// The maximum age of the hub's events, the age of
    /// [`HubBuilder::retention`](tower_sse::hub::HubBuilder::retention).
    pub retention_age: Duration,
    /// The size of the table and its indexes in bytes, with the rows of all streams. Zero before it
    /// is known. It is asked for every ten seconds.
    pub bytes: u64,
}

impl BrokerStats {
    pub(crate) fn of(health: Health<Error>) -> Self {
        Self { health, log: Arc::default() }
    }

    /// Returns how many losses this process has detected since it loaded the history.
    ///
    /// One loss can affect any number of events. [`HubStats::gaps`](tower_sse::hub::HubStats::gaps)
    /// counts all gaps sent to clients, for losses and for evictions.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.health.losses()
    }

    /// Returns the state of the log, or `None` before it is known. It is updated every two seconds
    /// while the hub is [ready](crate::PostgresHealth::is_ready).
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        *lock(&self.log)
    }

    pub(crate) fn update_log(&self, update: impl FnOnce(&mut LogStats)) {
        update(lock(&self.log).get_or_insert_default());
    }
}
