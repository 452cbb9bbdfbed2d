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
/// A process that isn't ready still serves the events that it has received.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(crate) common: tower_sse_broker::Health<Error>,
}

impl Health {
    /// Returns whether the file is open, and the hub has caught up with its table.
    ///
    /// If the hub needs more than a second to look for new events, the result is `false` until it
    /// has caught up again. This can happen because the disk doesn't respond, or because an event
    /// waits for a lock that another connection holds. A full disk stops publishing, but the result
    /// can stay `true`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns the text of the newest error, if any, even if the hub has recovered since.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.common.last_error().map(|error| error.to_string())
    }

    /// Returns how many times the hub has reopened the file, after an error or to report a loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.common.reconnections()
    }
}

/// The statistics of a hub's table, from [`SqliteBroker::stats`](crate::SqliteBroker::stats).
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    pub(crate) health: tower_sse_broker::Health<Error>,
    pub(crate) log: Arc<Mutex<Option<LogStats>>>,
}

/// The state of a hub's table, from [`BrokerStats::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The age of the oldest row of the table.
    ///
    /// If [`max_events`](crate::SqliteBroker::max_events) or
    /// [`max_bytes`](crate::SqliteBroker::max_bytes) is too low, this age stays below
    /// [`retention_age`](Self::retention_age), and a new process loads only part of the history.
    /// See the [alert](crate::operating#metrics-and-alerts).
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention). `None` if
    /// it has no age limit.
    pub retention_age: Option<Duration>,
    /// The size of the database in bytes. The size of the `-wal` file doesn't count. Always `Some`.
    pub bytes: Option<u64>,
}

impl BrokerStats {
    /// Returns how many losses the hub has reported since it loaded the history. One loss can
    /// affect any number of events.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.health.losses()
    }

    /// Returns the state of the table, or `None` before it's known. While the hub is
    /// [ready](Health::is_ready), the state is updated about every two seconds.
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        *lock(&self.log)
    }
}
