use std::{sync::Arc, sync::Mutex, time::Duration};

use tower_sse_broker::tasks::lock;

use crate::Error;

/// The state of a hub's file, from [`SqliteBroker::health`](crate::SqliteBroker::health). Clones
/// share it. A readiness probe:
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use tower_sse_sqlite::Health;
///
/// async fn ready(State(health): State<Health>) -> StatusCode {
///     if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// }
/// # _ = ready;
/// ```
///
/// A process that is not ready still serves the events that it has received, and its clients
/// receive later events when it is ready again.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(crate) common: tower_sse_broker::Health<Error>,
}

impl Health {
    /// Returns whether the file is open, and the hub has caught up with its table.
    ///
    /// The result becomes `false` if the hub needs more than a second to look for new events, for
    /// example because the disk does not respond. It stays `false` until the hub has caught up
    /// again. A full disk stops publishing, but leaves the result `true`. While another connection
    /// holds a lock, the result can become `false` for about a second whenever an event waits for
    /// the lock.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns the text of the newest error, if any, even if the hub has recovered since.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.common.last_error().map(|error| error.to_string())
    }

    /// Returns how many times the process has opened the file again, after an error or to report a
    /// loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.common.reconnections()
    }
}

/// The statistics of a hub's log, from [`SqliteBroker::stats`](crate::SqliteBroker::stats). Clones
/// share them.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    pub(crate) health: tower_sse_broker::Health<Error>,
    pub(crate) log: Arc<Mutex<Option<LogStats>>>,
}

/// The state of a hub's log, from [`BrokerStats::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The age of the oldest row of the table.
    ///
    /// Once events have been published for longer than [`retention_age`](Self::retention_age), the
    /// oldest row should be at least that old. If it stays younger,
    /// [`max_events`](crate::SqliteBroker::max_events) or
    /// [`max_bytes`](crate::SqliteBroker::max_bytes) is too low. This doesn't apply if
    /// [`max_age`](crate::SqliteBroker::max_age) equals `retention_age`. With a limit that is too
    /// low, a new process loads only part of the history.
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention).
    pub retention_age: Duration,
    /// The size of the whole file in bytes, without the write-ahead log. Always `Some` at present.
    pub bytes: Option<u64>,
}

impl BrokerStats {
    /// Returns how many losses this process has reported to its hub since it loaded the history.
    /// One loss can affect any number of events. [`HubStats::gaps`](tower_sse::hub::HubStats::gaps)
    /// counts all gaps sent to clients, including those for events that the hub has evicted.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.health.losses()
    }

    /// Returns the state of the log, or `None` before it is known. The state is updated about every
    /// two seconds while the hub is [ready](Health::is_ready), unless removing old events fails.
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        *lock(&self.log)
    }
}
