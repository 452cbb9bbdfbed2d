use std::sync::{Arc, Mutex};
use std::{sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::Error;
use tower_sse_broker::tasks::lock;

/// The statistics of a hub's stream in Redis, from
/// [`RedisBroker::stats`](crate::RedisBroker::stats). Clones share them.
#[derive(Clone, Debug)]
pub struct BrokerStats {
    health: tower_sse_broker::Health<Error>,
    state: Arc<StatsState>,
}

#[derive(Debug, Default)]
struct StatsState {
    foreign_entries: AtomicU64,
    log: Mutex<Option<LogStats>>,
}

impl BrokerStats {
    pub(super) fn of(health: tower_sse_broker::Health<Error>) -> Self {
        Self { health, state: Arc::default() }
    }

    /// Returns how many losses this hub has reported since it loaded the history. One loss can
    /// affect any number of events.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.health.losses()
    }

    /// Returns how many entries were skipped because they weren't in the [event
    /// format](crate#entries).
    #[must_use]
    pub fn foreign_entries(&self) -> u64 {
        self.state.foreign_entries.load(Relaxed)
    }

    /// Returns the state of the stream, or `None` before it's known. While the hub is
    /// [ready](crate::Health::is_ready), the state is updated about every two seconds, unless Redis
    /// refuses a command that the update needs.
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        *lock(&self.state.log)
    }

    pub(super) fn set_log(&self, log: LogStats) {
        *lock(&self.state.log) = Some(log);
    }

    pub(super) fn count_foreign_entry(&self) {
        self.state.foreign_entries.fetch_add(1, Relaxed);
    }
}

/// The state of a hub's stream in Redis, from [`BrokerStats::log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The number of entries, nearly all of which are events.
    pub events: u64,
    /// The limit that [`max_events`](crate::RedisBroker::max_events) sets.
    pub max_events: u64,
    /// The age of the oldest entry, by the server's clock.
    ///
    /// If `oldest_age` is below [`retention_age`](Self::retention_age) and [`events`](Self::events)
    /// is at least [`max_events`](Self::max_events), raise the limit. If you don't, a new process
    /// loads only part of the history, and a process that is disconnected for longer than
    /// `oldest_age` can miss events.
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention). `None` if
    /// it has no age limit.
    pub retention_age: Option<Duration>,
    /// The memory of the stream in bytes, as estimated by Redis. `None` if the user may not run
    /// `MEMORY USAGE`. If you grant this permission later, the value stays `None` until the hub
    /// reconnects.
    pub bytes: Option<u64>,
}
