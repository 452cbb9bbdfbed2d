use std::{
    fmt,
    str::FromStr,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use tokio_postgres::{Config, config::SslMode};
use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::{Gate, Queue, follow};

use crate::{
    BrokerStats, Error, PostgresHealth, PostgresPublisher,
    clock::Clock,
    connection::{Encryption, Settings, Wakes, quoted},
    publisher::Batcher,
    reader::{LONGEST, LogState, PostgresLog},
};

/// A [`Broker`] over PostgreSQL: hubs of several processes share the events of one stream, and any
/// program publishes to it in its own transactions.
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
/// No connection is opened before the hub is connected. See the [crate](crate) for requirements and
/// guarantees.
#[must_use = "pass it to `Hub::connect`"]
pub struct Postgres {
    pub(crate) settings: Settings,
    pub(crate) publish_deadline: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_rows: u64,
    stats: BrokerStats,
}

impl Postgres {
    /// Creates a broker for the server of a connection string or URL, in the forms that
    /// [libpq takes][libpq]:
    ///
    /// - `postgres://user:password@host:5432/database`
    /// - `host=db user=app dbname=shop`
    /// - `host=db-1,db-2 user=app dbname=shop`: the one of several servers that accepts writes
    /// - `host=/run/postgresql user=app`: over a Unix socket
    /// - `host=db user=app sslmode=require`: over TLS (feature `tls`)
    ///
    /// Without `sslmode=require`, connections are not encrypted, unless `Postgres::tls` is called.
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

    /// Returns a handle to the state of the connections. It stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this value.
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

    /// Returns a handle to the numbers of the log, for metrics. It stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this value.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.stats.clone()
    }

    /// Returns a closure that wakes the hub. Call it after a commit. It stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this value.
    ///
    /// Without it, the hub finds events of SQL within about 100 ms. With it, the commit itself stays
    /// as fast as without the hub, and clients receive the event some milliseconds later:
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
