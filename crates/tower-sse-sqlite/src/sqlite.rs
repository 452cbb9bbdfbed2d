use std::path::{Path, absolute};
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::__private::{LogOptions, Queue, start};

use crate::error::failed;
use crate::publisher::{Batcher, SqlitePublisher};
use crate::sqlite_log::SqliteLog;
use crate::{BrokerStats, Error, ErrorKind, Health, table::Source, worker::LastRow};

/// An SQLite file. All hubs of a program can share one `Sqlite`.
///
/// ```no_run
/// use tower_sse::hub::Hub;
/// use tower_sse_sqlite::Sqlite;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let sqlite = Sqlite::open("events.db")?;
/// let hub = Hub::connect(sqlite.broker("news")).await?;
/// hub.publish("weather", "rain").await?;
/// # Ok(())
/// # }
/// ```
///
/// The first hub that connects creates the file.
#[derive(Clone, Debug)]
#[must_use = "it opens nothing by itself"]
pub struct Sqlite(Source);

impl Sqlite {
    /// Creates a `Sqlite` for the file at `path`, which can be your program's database. The file
    /// need not exist, but its directory must. A relative path is resolved when you call `open`.
    ///
    /// # Errors
    ///
    /// Returns an error if the path is empty, or if it's relative and the process has no working
    /// directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = absolute(path).map_err(|error| failed(ErrorKind::Other, error))?;
        Ok(Self(Source { path, ..Source::default() }))
    }

    /// Sets a pragma on the hubs' connections, before they read the file or write to it. Pragmas
    /// are set in the order of the calls, so begin with SQLCipher's `key`. Some pragmas, such as
    /// `auto_vacuum`, have an effect only on a new file. SQLCipher's pragmas that begin with
    /// `cipher_` aren't supported.
    ///
    /// `synchronous` is `normal` by default. `journal_mode` is always `wal`, and `busy_timeout` has
    /// no effect. All other pragmas keep the defaults of the SQLite build.
    ///
    /// With `synchronous = full`, commits wait for the disk, so a power failure doesn't undo them:
    ///
    /// ```
    /// # use tower_sse_sqlite::Sqlite;
    /// let sqlite = Sqlite::open("events.db")?.pragma("synchronous", "full");
    /// # drop(sqlite);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    ///
    /// If SQLite doesn't have the pragma, [`Hub::connect`](tower_sse::hub::Hub::connect) returns an
    /// error. A value that SQLite doesn't know usually causes no error.
    pub fn pragma(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.pragmas.push((name.into(), value.into()));
        self
    }

    /// Returns a broker for the table with this name. All hubs that use this table share their
    /// events and ids. The first hub that connects creates the table.
    ///
    /// The name must consist of ASCII letters, digits and underscores. It must not begin with
    /// `sqlite_` and isn't case-sensitive. [`Hub::connect`](tower_sse::hub::Hub::connect) returns
    /// an error if the name is invalid, or if an existing table differs from the one that this
    /// version of the crate creates.
    ///
    /// Ids stay valid when the file moves. Give unrelated hubs different table names, even if they
    /// use different files. Otherwise, the hubs can accept each other's ids, and a client that
    /// moves between them can miss events without a gap.
    ///
    /// ```
    /// # use tower_sse_sqlite::Sqlite;
    /// let broker = Sqlite::open("events.db")?.broker("news").max_events(200_000);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    pub fn broker(&self, table: impl Into<String>) -> SqliteBroker {
        let table = table.into().to_ascii_lowercase();
        let log = SqliteLog {
            source: Source { table, ..self.0.clone() },
            options: LogOptions::new(Duration::from_secs(5)),
            max_bytes: 1 << 30,
            health: Health::default(),
            next_trim: Instant::now(),
            first_kept: None,
            growth: 1.0,
            last_row: LastRow::default(),
        };
        SqliteBroker(log)
    }
}

/// The [`Broker`] of an SQLite table, from [`Sqlite::broker`]. Hubs in several processes on one
/// machine can share the table.
#[derive(Debug)]
#[must_use = "pass it to `Hub::connect`"]
pub struct SqliteBroker(SqliteLog);

impl SqliteBroker {
    /// Returns a handle that tells whether the hub is ready and what its last error was. The handle
    /// stays valid after `Hub::connect`.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.clone()
    }

    /// Returns a handle to the table's statistics. The handle stays valid after `Hub::connect`.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.0.health.stats().clone()
    }

    /// Limits the table to about `events` events across all topics. The oldest events are removed.
    /// The default is 100,000.
    ///
    /// Set the limit to at least the total rate of events, multiplied by the maximum age in the
    /// hub's retention.
    ///
    /// ```
    /// # use tower_sse_sqlite::Sqlite;
    /// // 500 events a second, kept for 15 minutes.
    /// let broker = Sqlite::open("events.db")?.broker("news").max_events(500 * 900);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `events` is less than 10,000: a process that is briefly behind would lose events.
    #[track_caller]
    pub fn max_events(mut self, events: usize) -> Self {
        self.0.options.set_max_events(events);
        self
    }

    /// Limits the total size of the topics, data and comments in the table to about `bytes` bytes.
    /// The oldest events are removed, but the newest row always stays. The default is 1 GiB.
    ///
    /// The table can exceed the limit by 10 percent, plus the events of a few seconds. The file
    /// takes [more space](crate::operating#sizes) and, by default, doesn't shrink when events are
    /// removed.
    ///
    /// ```
    /// # use tower_sse_sqlite::Sqlite;
    /// let broker = Sqlite::open("events.db")?.broker("news").max_bytes(64 << 20);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.0.max_bytes = bytes;
        self
    }

    /// Removes events that are older than `age`. The default is one and a half times the maximum
    /// age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention).
    ///
    /// The newest row always stays. Set the same age, [`max_events`](Self::max_events) and
    /// [`max_bytes`](Self::max_bytes) in all processes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_sqlite::Sqlite;
    /// let broker = Sqlite::open("events.db")?.broker("news").max_age(Duration::from_secs(3600));
    /// # drop(broker);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than the
    /// maximum age in the hub's retention, or if the retention has no age limit.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.0.options.max_age = Some(age);
        self
    }

    /// Limits how long publishing an event may take, including the wait for a lock that another
    /// connection holds. The default is 5 seconds.
    ///
    /// While another connection keeps the file locked, an event usually waits for 2 to 4 seconds
    /// and is then refused. With a deadline below 4 seconds, publishing can return
    /// [`Unknown`](tower_sse::hub::PublishError::Unknown) instead.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_sqlite::Sqlite;
    /// let broker = Sqlite::open("events.db")?.broker("news");
    /// let broker = broker.publish_deadline(Duration::from_secs(5));
    /// # drop(broker);
    /// # Ok::<_, tower_sse_sqlite::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.0.options.publish_deadline = deadline;
        self
    }
}

impl Broker for SqliteBroker {
    type Publisher = SqlitePublisher;
    type Error = Error;

    fn name(&self) -> String {
        // Without the file's path, so that ids stay valid when the file moves.
        format!("sqlite:{}", self.0.source.table)
    }

    /// Opens the file and loads the history. A task then reads new rows until the hub is closed or
    /// dropped.
    async fn start(self, feed: Feed) -> Result<SqlitePublisher, Error> {
        let Self(mut log) = self;
        log.options.adopt(&feed)?;
        log.options.limit_age();
        let (queue, health) = (Arc::<Queue>::default(), log.health.clone());
        let publish_deadline = log.options.publish_deadline;
        start(
            log,
            feed,
            health.clone(),
            &queue,
            Batcher { health: health.clone(), locked_since: None },
        )
        .await?;
        Ok(SqlitePublisher { queue, publish_deadline, health })
    }
}
