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
/// A process that isn't ready still serves the events that it has received. Take it out of a load
/// balancer only after several failed probes: the other processes probably can't reach PostgreSQL
/// either.
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

/// The rows in the [inbox](crate#how-it-works) that no hub has moved to the log yet, from
/// [`Health::waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The number of rows for all streams in the schema. At most 100,000 are counted.
    ///
    /// If a stream has no hub, its rows stay until you delete them or start a hub.
    pub rows: u64,
    /// The time since the oldest row was inserted, by the server's clock. Zero if no row is
    /// waiting.
    pub oldest_age: Duration,
}

impl Health {
    /// Returns whether the hub is connected, and has caught up with its stream's log. The result
    /// can be `true` while the server refuses to write, for example because its disk is full. So
    /// alert on [`waiting`](Self::waiting) too.
    ///
    /// If the hub needs more than a second to look for new events, the result is `false` until it
    /// has caught up again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns whether the server's notifications arrived when the hub last connected.
    ///
    /// They don't arrive behind a pooler in transaction mode, or with
    /// [`listen(false)`](crate::PostgresBroker::listen). The hub then finds the events of other
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

    /// Returns how many times the hub has reconnected, after a break or to report a loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.common.reconnections()
    }

    /// Returns the state of the inbox, or `None` before it's known. While the hub is ready, rows
    /// are counted about every ten seconds.
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
/// Clones share them. For the rows that wait to be moved into the log, see [`Health::waiting`].
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
    /// If `max_events` or a process's `max_age` is too low, `oldest_age` stays below
    /// [`retention_age`](Self::retention_age). A new process then loads only part of the history,
    /// and a process that is disconnected for longer than `oldest_age` can miss events. See the
    /// [alert](crate::operating#metrics-and-alerts).
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention). `None` if
    /// it has no age limit.
    pub retention_age: Option<Duration>,
    /// The size in bytes of the log's table and indexes, for all streams together. `None` before
    /// it's known.
    pub bytes: Option<u64>,
}

impl BrokerStats {
    pub(crate) fn of(health: tower_sse_broker::Health<Error>) -> Self {
        Self { health, log: Arc::default() }
    }

    /// Returns how many losses this hub has reported since it loaded the history. One loss can
    /// affect any number of events.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.health.losses()
    }

    /// Returns the state of the log, or `None` before it's known. While the hub is
    /// [ready](Health::is_ready), the log's ages are updated about every two seconds, and its size
    /// about every ten.
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        *lock(&self.log)
    }

    pub(crate) fn set_ages(&self, oldest_age: Duration, retention_age: Option<Duration>) {
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
