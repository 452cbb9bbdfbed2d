use std::{sync::Arc, sync::Mutex, time::Duration};

use crate::{Error, tasks::lock};

/// The statistics of a hub's log or of runs, from the `stats` method of the broker or of
/// `RedisRuns`. Clones share the statistics.
///
/// Values that a store doesn't report are 0, `false` or `None`.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats(Arc<Mutex<Facts>>);

/// The state of the connections, and what a store reports about its log, for
/// [`BrokerStats::update`].
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub(crate) is_ready: bool,
    pub(crate) last_error: Option<Error>,
    pub(crate) reconnections: u64,
    pub losses: u64,
    pub foreign_entries: u64,
    pub evicts: bool,
    pub listens: bool,
    pub waiting: Option<Waiting>,
    pub log: Option<LogStats>,
}

/// The state of a hub's log, from [`BrokerStats::log`]: the stream in Redis, the log in PostgreSQL,
/// or the table in SQLite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The number of entries, nearly all of which are events. Always `None` except with Redis.
    pub events: Option<u64>,
    /// The limit that the broker's `max_events` sets.
    pub max_events: u64,
    /// The age of the oldest entry, by the server's clock or, with SQLite, the machine's clock.
    ///
    /// If a limit of the log, such as `max_events`, is too low, `oldest_age` stays below
    /// [`retention_age`](Self::retention_age). A new process then loads only part of the history,
    /// and a process that is disconnected for longer than `oldest_age` can miss events. The stores'
    /// pages on operation show an alert for this.
    pub oldest_age: Duration,
    /// The maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention). `None` if
    /// the retention has no age limit.
    pub retention_age: Option<Duration>,
    /// The size in bytes: in Redis, the estimated memory of the stream; in PostgreSQL, the table of
    /// the log and its indexes, for all streams together; in SQLite, the database without its
    /// `-wal` file.
    ///
    /// `None` before it's known, or if the Redis user may not run `MEMORY USAGE`. If you grant this
    /// permission later, the value stays `None` until the hub reconnects.
    pub bytes: Option<u64>,
}

/// The rows in PostgreSQL's inbox that no hub has moved to the log yet, from
/// [`BrokerStats::waiting`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The number of rows for all streams in the schema. At most 100,000 are counted.
    ///
    /// If a stream has no hub, its rows stay until you delete them or start a hub.
    pub rows: u64,
    /// The time since the oldest of the counted rows was inserted, by the server's clock. Zero if
    /// no row is waiting.
    pub oldest_age: Duration,
}

impl BrokerStats {
    /// Returns how many losses this hub has reported since it loaded the history. One loss can
    /// affect any number of events.
    #[must_use]
    pub fn losses(&self) -> u64 {
        lock(&self.0).losses
    }

    /// Returns the log's state, or `None` before it's known. While the hub is
    /// [ready](crate::Health::is_ready), the state is updated about every two seconds, unless the
    /// store refuses to report it. With PostgreSQL, the size is updated about every ten seconds,
    /// and so is the whole state while there are no new events.
    #[must_use]
    pub fn log(&self) -> Option<LogStats> {
        lock(&self.0).log
    }

    /// Returns how many entries of the Redis stream were skipped because they aren't in the event
    /// format.
    #[must_use]
    pub fn foreign_entries(&self) -> u64 {
        lock(&self.0).foreign_entries
    }

    /// Returns whether Redis may delete the keys of the hub or the runs when it reaches
    /// `maxmemory`. A hub checks this only when it connects.
    ///
    /// If this returns `true`, set `maxmemory-policy noeviction`. With the current policy, Redis
    /// can delete the hub's whole stream, or ended runs. Runs that are still in progress are
    /// usually [restored](https://docs.rs/tower-sse/latest/tower_sse/runs/#several-processes).
    #[must_use]
    pub fn evicts(&self) -> bool {
        lock(&self.0).evicts
    }

    /// Returns whether PostgreSQL's notifications arrived when the hub last connected.
    ///
    /// They don't arrive behind a pooler in transaction mode, or with `listen(false)`. The hub then
    /// finds the events of other processes only by polling.
    #[must_use]
    pub fn listens(&self) -> bool {
        lock(&self.0).listens
    }

    /// Returns the state of PostgreSQL's inbox, or `None` before it's known. While the hub is
    /// [ready](crate::Health::is_ready), rows are counted about every ten seconds.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        lock(&self.0).waiting
    }

    /// Changes the statistics.
    #[doc(hidden)]
    pub fn update<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut lock(&self.0))
    }
}
