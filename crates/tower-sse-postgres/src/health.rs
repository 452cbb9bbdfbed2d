use std::sync::{Arc, Mutex};
use std::{sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed, time::Duration};

use tower_sse_broker::{tasks::lock, with_sources};

use crate::{Error, ErrorKind};

/// The state of a hub's connections, from
/// [`PostgresBroker::health`](crate::PostgresBroker::health). Clones share it. A readiness probe:
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use tower_sse_postgres::Health;
///
/// async fn ready(State(health): State<Health>) -> StatusCode {
///     if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// }
/// # _ = ready;
/// ```
///
/// A process that is not ready still serves the events that it has received, and its clients
/// receive later events when it is ready again. Take the process out of a load balancer only after
/// several failed probes, because the other processes probably cannot reach the server either.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(crate) common: tower_sse_broker::Health<Error>,
    state: Arc<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    listens: AtomicBool,
    waiting: Mutex<Option<Waiting>>,
}

/// The rows that are waiting in the [inbox](crate#how-it-works) for a hub. [`Health::waiting`]
/// returns their number and the age of the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The number of rows for all streams in the schema. At most 100,000 are counted.
    ///
    /// If a stream has no hub, its rows stay until you delete them or start a hub.
    pub rows: u64,
    /// The time since the oldest row was inserted, by the server's clock. Zero if no row waits.
    pub oldest_age: Duration,
}

impl Health {
    /// Returns whether the hub is connected, and has caught up with its stream.
    ///
    /// The result becomes `false` if the hub needs more than a second to look for new events, for
    /// example because the server does not answer. It stays `false` until the hub has caught up
    /// again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns whether the server's notifications arrived when the hub last connected. If they did
    /// not, for example behind a pooler in transaction mode or with
    /// [`listen(false)`](crate::PostgresBroker::listen), the hub finds the events of other
    /// processes only by polling.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.state.listens.load(Relaxed)
    }

    /// Returns the text of the newest error, if any, even after the connection has recovered.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.common.last_error().map(|error| with_sources(&error))
    }

    /// Returns how many times the process has reconnected, after a break or to mark a loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.common.reconnections()
    }

    /// Returns the state of the inbox, or `None` before it is known. Rows are counted every ten
    /// seconds while the hub is ready, and otherwise the last count is returned.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        *lock(&self.state.waiting)
    }

    /// Returns the error of an event that was not sent.
    pub(crate) fn not_connected(&self) -> Error {
        const ACTION: &str = "publish an event to PostgreSQL";
        match self.common.last_error() {
            Some(error) if !self.is_ready() => {
                Error::with_kind(ACTION, error.kind(), with_sources(&error))
            }
            _ => {
                Error::with_kind(ACTION, ErrorKind::Unreachable, "earlier events await their reply")
            }
        }
    }

    pub(crate) fn set_listening(&self, listens: bool) {
        self.state.listens.store(listens, Relaxed);
    }

    pub(crate) fn set_waiting(&self, waiting: Waiting) {
        *lock(&self.state.waiting) = Some(waiting);
    }
}

/// The statistics of a hub's log, from [`PostgresBroker::stats`](crate::PostgresBroker::stats).
/// Clones share them. For the statistics of the [inbox](crate#how-it-works), call
/// [`Health::waiting`].
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    health: tower_sse_broker::Health<Error>,
    log: Arc<Mutex<Option<LogStats>>>,
}

/// The state of a hub's log, from [`BrokerStats::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The age of the oldest row of the stream, by the server's clock.
    ///
    /// Once events have been published for longer than [`retention_age`](Self::retention_age), the
    /// oldest row should be at least that old. If it stays younger,
    /// [`max_events`](crate::PostgresBroker::max_events) or another process's `max_age` is too low.
    /// A new process then loads only a part of the history, and a process that is disconnected for
    /// longer than `oldest_age` loses events. If [`max_age`](crate::PostgresBroker::max_age) equals
    /// `retention_age`, a lower age is normal.
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention).
    pub retention_age: Duration,
    /// The size in bytes of the log's table and indexes, for all streams together, measured every
    /// ten seconds. `None` before it is known.
    pub bytes: Option<u64>,
}

impl BrokerStats {
    pub(crate) fn of(health: tower_sse_broker::Health<Error>) -> Self {
        Self { health, log: Arc::default() }
    }

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

    pub(crate) fn set_ages(&self, oldest_age: Duration, retention_age: Duration) {
        let mut log = lock(&self.log);
        let bytes = log.and_then(|log| log.bytes);
        *log = Some(LogStats { oldest_age, retention_age, bytes });
    }

    /// Does nothing before the ages are known: without them, the oldest row would seem to be new.
    pub(crate) fn set_bytes(&self, bytes: u64) {
        if let Some(log) = &mut *lock(&self.log) {
            log.bytes = Some(bytes);
        }
    }
}
