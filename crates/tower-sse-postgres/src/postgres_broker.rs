use std::{sync::Arc, time::Duration};

use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::__private::{LogOptions, Queue, start};

use crate::error::failed;
use crate::postgres_log::{LONGEST, LogState, PostgresLog};
use crate::publisher::{Batcher, PostgresPublisher};
use crate::settings::{Settings, quoted};
use crate::{BrokerStats, Error, Health};

/// A [`Broker`] over PostgreSQL, created by [`Postgres::broker`](crate::Postgres::broker). Hubs in
/// several processes share their events if their brokers have the same stream name, schema and
/// database.
#[must_use = "pass it to `Hub::connect`"]
pub struct PostgresBroker {
    settings: Settings,
    options: LogOptions,
}

/// The maximum length of a stream's name in bytes. Longer names may not fit into an index.
const MAX_STREAM: usize = 1 << 10;

impl PostgresBroker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, options: LogOptions::new(Duration::from_secs(2)) }
    }

    /// Returns a handle to the connections' state. The handle stays valid after
    /// `Hub::connect`.
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Postgres::open("host=127.0.0.1 user=app")?.broker("orders");
    /// let health = broker.health();
    /// let hub = Hub::connect(broker).await?;
    /// assert!(health.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.settings.health.clone()
    }

    /// Returns a handle to the log's statistics. The handle stays valid after `Hub::connect`.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.settings.health.stats().clone()
    }

    /// Returns a closure that wakes the hub. Call the closure after a commit. The closure stays
    /// valid after `Hub::connect`.
    ///
    /// Clients of this hub then receive the transaction's events a few milliseconds later. So do
    /// clients of other hubs that [listen](BrokerStats::listens), unless you have set
    /// [`listen(false)`](Self::listen) for this hub. Without this call or `wake => true`, a hub
    /// finds events published by SQL by [polling](crate#publishing-by-sql).
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn commit() {}
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Postgres::open("host=127.0.0.1 user=app")?.broker("orders");
    /// let wake = broker.waker();
    /// let hub = Hub::connect(broker).await?;
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

    /// Limits the stream to about `events` events across all topics. The oldest events are removed.
    /// The default is 100,000.
    ///
    /// Set the limit to the total rate of events, multiplied by [`max_age`](Self::max_age).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// // 500 events a second, kept for 15 minutes.
    /// let broker = Postgres::open("host=127.0.0.1 user=app")?.broker("orders");
    /// let broker = broker.max_age(Duration::from_secs(900)).max_events(500 * 900);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `events` is less than 10,000: a process that is briefly behind would lose events.
    #[track_caller]
    pub fn max_events(mut self, events: usize) -> Self {
        self.options.set_max_events(events);
        self
    }

    /// Removes rows of the log that are older than `age`, by the server's clock. The default is one
    /// and a half times the maximum age in the hub's
    /// [`retention`](tower_sse::hub::HubBuilder::retention).
    ///
    /// Each connected process removes old rows about every two seconds, or every ten while there are
    /// no new events. The newest row always stays. A process that is disconnected for longer than
    /// `age` can miss rows and then reports a gap to its clients. Set the same age and the same
    /// [`max_events`](Self::max_events) in all processes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// let broker = postgres.broker("orders").max_age(Duration::from_secs(3600));
    /// # drop(broker);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than the
    /// maximum age in the hub's retention, or if the retention has no age limit.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.max_age = Some(age);
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The
    /// default is 2 seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// let broker = postgres.broker("orders").publish_deadline(Duration::from_millis(500));
    /// # drop(broker);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.options.publish_deadline = deadline;
        self
    }

    /// Sets whether the hub listens for PostgreSQL's notifications and notifies the hubs of other
    /// processes. The default is `true`.
    ///
    /// Turn notifications off behind a pooler in transaction mode. Otherwise, the hub waits a
    /// second for a test notification whenever it connects. Without notifications, hubs find the
    /// events of other processes by polling, usually within about 100 ms. While the server's
    /// [notification queue is full](crate::operating#full-queue), hubs that listen can need up to
    /// 2.5 seconds.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=pgbouncer port=6432 user=app")?;
    /// let broker = postgres.broker("orders").listen(false);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn listen(mut self, listens: bool) -> Self {
        self.settings.listens = listens;
        self
    }
}

impl Broker for PostgresBroker {
    type Publisher = PostgresPublisher;
    type Error = Error;

    fn name(&self) -> String {
        // The name leaves out the server, so that ids stay valid when the data moves.
        format!("postgres:{}.{}", quoted(&self.settings.schema), self.settings.stream)
    }

    /// Connects and loads the history. A task follows the log until the hub is closed or dropped.
    async fn start(self, feed: Feed) -> Result<PostgresPublisher, Error> {
        let Self { settings, mut options } = self;
        options.adopt(&feed)?;
        options.limit_age();
        options.max_age = options.max_age.filter(|age| *age <= LONGEST);
        let length = settings.stream.len();
        if length > MAX_STREAM {
            let reason = format!("the stream's name has {length} bytes, more than {MAX_STREAM}");
            return Err(failed("connect a hub", reason));
        }
        let (settings, queue) = (Arc::new(settings.with_defaults()), Arc::<Queue>::default());
        let (health, deadline) = (settings.health.clone(), options.publish_deadline);
        let batcher = Batcher { settings: Arc::clone(&settings), passes: 0, several: false };
        let log = PostgresLog {
            settings: Arc::clone(&settings),
            queue: Arc::clone(&queue),
            options,
            state: LogState::default(),
        };
        start(log, feed, health, &queue, batcher).await?;
        Ok(PostgresPublisher { queue, deadline, settings })
    }
}

// The address can contain a password.
tower_sse::opaque_debug!(PostgresBroker);
