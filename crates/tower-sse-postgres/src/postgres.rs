use std::{fmt, str::FromStr, sync::Arc, sync::atomic::AtomicI64, time::Duration};

use tokio_postgres::{Config, config::SslMode};
use tower_sse::BoxError;
use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::{Gate, Queue, follow};

use crate::postgres_log::{LONGEST, LogState, PostgresLog};
use crate::settings::{Clock, Encryption, Settings, Wakes, quoted, schema_name};
use crate::{BrokerStats, Error, PostgresHealth, PostgresPublisher, publisher::Batcher};

/// A [`Broker`] over PostgreSQL: hubs of several processes share the events of one stream, and any
/// program can publish to the stream in its own transactions.
///
/// ```no_run
/// use tower_sse::hub::Hub;
/// use tower_sse_postgres::Postgres;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let postgres = Postgres::open("host=127.0.0.1 user=app dbname=shop")?.stream("orders");
/// let hub = Hub::connect(postgres).await?;
/// hub.publish("orders:42", "paid").await?;
/// # Ok(())
/// # }
/// ```
///
/// Creating this value opens no connection. See the [crate] for requirements and guarantees.
#[must_use = "pass it to `Hub::connect`"]
pub struct Postgres {
    pub(crate) settings: Settings,
    pub(crate) publish_deadline: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_rows: u64,
    stats: BrokerStats,
}

impl Postgres {
    /// Creates a broker from a connection string or URL, in the forms that [libpq takes][libpq]:
    ///
    /// - `postgres://user:password@host:5432/database`
    /// - `host=db user=app dbname=shop`
    /// - `host=db-1,db-2 user=app dbname=shop`: several servers; the hub uses the one that accepts
    ///   writes
    /// - `host=/run/postgresql user=app`: over a Unix socket
    /// - `host=db user=app sslmode=require`: over TLS (feature `tls`)
    ///
    /// Connections are encrypted only with `sslmode=require` or `Postgres::tls`.
    ///
    /// [libpq]: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    ///
    /// # Errors
    ///
    /// Returns an error if `address` is not of these forms or has no host, or if it requires TLS
    /// without feature `tls`.
    pub fn open(address: &str) -> Result<Self, Error> {
        const ACTION: &str = "parse the address of PostgreSQL";
        let config = Config::from_str(address).map_err(|error| Error::new(ACTION, error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::new(ACTION, "the address has no host"));
        }
        let requires_tls = config.get_ssl_mode() == SslMode::Require;
        if requires_tls && !cfg!(feature = "tls") {
            return Err(Error::new(ACTION, "`sslmode=require` needs feature `tls`"));
        }
        let health = PostgresHealth::default();
        let stats = BrokerStats::of(health.common.clone());
        let settings = Settings {
            config,
            encryption: Encryption::None,
            provider: None,
            schema: "tower_sse".to_owned(),
            stream: "tower_sse".to_owned(),
            listens: true,
            wakes: Wakes::default(),
            health,
            clock: Clock::new(),
            covered: AtomicI64::new(0),
        };
        let postgres = Self {
            settings,
            publish_deadline: Duration::from_secs(2),
            max_age: None,
            max_rows: 100_000,
            stats,
        };
        #[cfg(feature = "tls")]
        if requires_tls {
            return postgres.tls(crate::Tls::new());
        }
        Ok(postgres)
    }

    /// Returns a handle to the state of the connections. The handle stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this broker.
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// let health = postgres.health();
    /// let hub = Hub::connect(postgres).await?;
    /// assert!(health.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn health(&self) -> PostgresHealth {
        self.settings.health.clone()
    }

    /// Returns a handle to the statistics of the log, for metrics. The handle stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this broker.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.stats.clone()
    }

    /// Returns a closure that wakes the hub. Call the closure after a commit. The closure stays
    /// valid after [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this broker.
    ///
    /// Without a call, the hub finds an event that was published by SQL within about 100 ms, or
    /// later if the server is slow. After a call, clients receive the event a few milliseconds
    /// later. Unlike `wake => true`, the closure does not slow down the commit.
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn commit() {}
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// let wake = postgres.waker();
    /// let hub = Hub::connect(postgres).await?;
    ///
    /// commit().await;
    /// wake();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "call it after a commit"]
    pub fn waker(&self) -> impl Fn() + Clone + Send + Sync + 'static {
        let wake = Arc::clone(&self.settings.wakes.inbox);
        move || wake.notify_one()
    }
}

impl Broker for Postgres {
    type Publisher = PostgresPublisher;
    type Error = Error;

    fn name(&self) -> String {
        // The server is left out, so that ids stay valid when the stream moves with its data. The
        // schema is quoted, so that two pairs of schema and stream never make the same name.
        format!("postgres:{}.{}", quoted(&self.settings.schema), self.settings.stream)
    }

    /// Connects and loads the history. Then a task follows the log until the hub is closed or
    /// dropped.
    async fn start(self, feed: Feed) -> Result<PostgresPublisher, Error> {
        const ACTION: &str = "connect a hub";
        let retained = feed.max_age();
        if self.max_age.is_some_and(|age| age < retained) {
            let reason = "`max_age` is less than the age of the hub's retention";
            return Err(Error::new(ACTION, reason));
        }
        let max_age = self.max_age.or_else(|| retained.checked_add(retained / 2));
        let max_age = max_age.filter(|age| *age <= LONGEST);
        let settings = Arc::new(self.settings.with_defaults());
        let (queue, gate) = (Arc::new(Queue::default()), Arc::new(Gate::default()));
        let batcher = Batcher { settings: Arc::clone(&settings), passes: 0 };
        let batching = Arc::clone(&queue).run(Arc::clone(&gate), feed.closed(), batcher);
        let batching = tokio::spawn(batching);
        let health = settings.health.common.clone();
        let log = PostgresLog {
            settings: Arc::clone(&settings),
            queue: Arc::clone(&queue),
            stats: self.stats,
            retained,
            max_age,
            max_rows: self.max_rows,
            state: LogState::default(),
        };
        // A batcher that has panicked would leave a hub that cannot publish.
        follow(log, feed, gate, health, async { _ = batching.await }).await?;
        Ok(PostgresPublisher { queue, deadline: self.publish_deadline, settings })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address can contain a password.
        f.debug_struct("Postgres")
            .field("schema", &self.settings.schema)
            .field("stream", &self.settings.stream)
            .finish_non_exhaustive()
    }
}

/// The minimum of [`Postgres::max_rows`]. A process that is briefly behind must not lose events.
const MIN_MAX_ROWS: u64 = 10_000;

impl Postgres {
    /// Sets the name of the stream. All hubs of this stream in the same schema of the same database
    /// share their events and ids. The default is `tower_sse`, which is also the default of
    /// `tower_sse.publish`.
    ///
    /// Use different names for unrelated hubs, even in different databases or on different servers.
    /// Otherwise, the hubs accept each other's ids, and a client that moves between them can miss
    /// events without receiving a gap.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.stream("orders");
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.settings.stream = name.into();
        self
    }

    /// Sets the name of the schema that has the tables. The default is `tower_sse`.
    /// [`schema_named`](crate::schema_named) returns the statements that create a schema with
    /// another name.
    ///
    /// A program that may publish to one stream of a schema may publish to all of them. If groups
    /// of programs do not trust each other, give each group a schema of its own:
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.schema("billing_events")?;
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if `name` is not an [identifier](crate::schema_named).
    pub fn schema(mut self, name: impl Into<String>) -> Result<Self, Error> {
        self.settings.schema = schema_name(name.into())?;
        Ok(self)
    }

    /// Sets an async closure that returns the password, for passwords that change at run time. By
    /// default, the password in the connection string is used.
    ///
    /// The closure is called for each attempt to connect, and once more if the server refuses the
    /// returned password. Open connections stay open when the password changes. An error, or no
    /// result within 10 seconds, counts as a failed attempt.
    ///
    /// ```
    /// # use tower_sse::BoxError;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn fetch_token() -> Result<String, BoxError> { Ok(String::new()) }
    /// let postgres = Postgres::open("host=db.internal user=app")?.password(fetch_token);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn password<F, Fut, E>(mut self, closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.settings.provider = Some(Box::new(move || {
            let asking = closure();
            Box::pin(async move { asking.await.map_err(Into::into) })
        }));
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The
    /// default is 2 seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres =
    ///     Postgres::open("host=127.0.0.1 user=app")?.publish_deadline(Duration::from_millis(500));
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// Removes rows of the log that are older than `age`, by the server's clock. The default is one
    /// and a half times the maximum age in the hub's
    /// [`retention`](tower_sse::hub::HubBuilder::retention).
    ///
    /// About every two seconds, each connected process removes rows that are too old. The newest
    /// row always stays. A process that is disconnected for longer than `age` reports a gap to its
    /// clients if events were added meanwhile. All processes should set the same age and the same
    /// [`max_rows`](Self::max_rows).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.max_age(Duration::from_secs(3600));
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than the
    /// maximum age in the hub's retention: clients would receive gaps instead of the history.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Limits the stream to about `rows` rows over all topics, by removing the oldest. The default
    /// is 100,000. The stream can exceed the limit by a tenth of it, plus the events published in
    /// about two seconds.
    ///
    /// Set the limit to the total rate of events, multiplied by the maximum age in the hub's
    /// retention or by the longest expected disconnection, whichever is longer.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// // 500 events a second, kept for 15 minutes.
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.max_rows(500 * 900);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `rows` is less than 10,000: a process that is briefly behind would lose events.
    #[track_caller]
    pub fn max_rows(mut self, rows: u64) -> Self {
        assert!(rows >= MIN_MAX_ROWS, "a log must keep at least {MIN_MAX_ROWS} rows");
        self.max_rows = rows;
        self
    }

    /// Sets whether the hub listens for PostgreSQL's notifications, and whether it notifies the
    /// hubs of other processes. The default is `true`.
    ///
    /// Turn notifications off in all processes if other programs fill the server's queue of
    /// notifications. Also turn them off behind a pooler in transaction mode, where the hub would
    /// wait a second for a test notification whenever it connects. Without notifications, hubs find
    /// the events of other processes within about 100 ms, or later if the server is slow.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=pgbouncer port=6432 user=app")?.listen(false);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn listen(mut self, listens: bool) -> Self {
        self.settings.listens = listens;
        self
    }

    /// Requires TLS, with these certificates (feature `tls`).
    ///
    /// The server's certificate and the host name in it are checked, as with `sslmode=verify-full`
    /// in other clients. If the host name does not resolve to the server, also set the server's IP
    /// address: `host=db.internal hostaddr=10.0.0.7`. If the server offers `SCRAM-SHA-256-PLUS`,
    /// channel binding ties the log-in to the server's certificate. The program must install a
    /// crypto provider of rustls before this call.
    ///
    /// ```no_run
    /// # use std::fs;
    /// use tower_sse_postgres::{Postgres, Tls};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new().authority(fs::read("ca.pem")?);
    /// let postgres = Postgres::open("host=db.internal user=app dbname=shop")?.tls(tls)?;
    /// # drop(postgres);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a certificate or the key is not in PEM format, or if no crypto provider
    /// is installed.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: crate::Tls) -> Result<Self, Error> {
        let connect =
            tls.connect().map_err(|error| Error::new("set up TLS for PostgreSQL", error))?;
        self.settings.encryption = Encryption::Tls(connect);
        self.settings.config.ssl_mode(tokio_postgres::config::SslMode::Require);
        Ok(self)
    }
}
