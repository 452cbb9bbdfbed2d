use std::{fmt, sync::Arc, time::Duration};

use ::redis::Client;

use super::{
    Error, RedisHealth,
    clock::Clock,
    connector::Connector,
    follower::{Connections, Follower},
    gate::Gate,
    publisher::{PublisherConfig, RedisPublisher},
    reader::{Reader, Stop},
};
use crate::hub::{Broker, Feed, Publisher, SealedBroker};

/// The least number of entries that a stream is trimmed to. Readers take 1,000 at a time, and must
/// not be overtaken by trimming while they do.
pub(super) const MIN_MAX_LEN: usize = 10_000;

/// A [`Broker`] over Redis Streams: hubs of several processes share the events of one stream.
///
/// ```no_run
/// use tower_sse::{hub::Hub, redis::Redis};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::connect(Redis::open("redis://127.0.0.1/")?).await?;
/// hub.publish("news", "hello").await?;
/// # Ok(())
/// # }
/// ```
///
/// See the [module](super) for what it needs of Redis and what it guarantees.
#[must_use = "pass it to `Hub::connect`"]
pub struct Redis {
    client: Client,
    key: String,
    max_len: usize,
    publish_deadline: Duration,
    pause: Duration,
    health: RedisHealth,
}

impl Redis {
    /// Takes the address of a Redis or Valkey server, without connecting to it.
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://host:6379/0` | the port and the database can be left out |
    /// | `redis://user:password@host/` | the user can be left out |
    /// | `rediss://host/` | over TLS (feature `redis-tls`) |
    /// | `unix:///run/redis.sock` | over a Unix socket |
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is none of these.
    pub fn open(url: impl AsRef<str>) -> Result<Self, Error> {
        let client = Client::open(url.as_ref())
            .map_err(|error| Error::new("read the URL of Redis", error))?;
        Ok(Self {
            client,
            key: "tower-sse".to_owned(),
            max_len: 100_000,
            publish_deadline: Duration::from_secs(2),
            pause: Duration::ZERO,
            health: RedisHealth::new(),
        })
    }

    /// Sets the key of the stream. The default is `tower-sse`. Hubs with the same key of the same
    /// server are one hub.
    ///
    /// ```
    /// # use tower_sse::redis::Redis;
    /// let redis = Redis::open("redis://127.0.0.1/")?.key("chat:events");
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Trims the stream to about this many of the newest entries, of all topics together. The default
    /// is 100,000, some 30 MB if events have 256 bytes.
    ///
    /// A process that starts loads its history from the stream, and one that was away catches up
    /// from it. Choose the events per second of all topics times the longest time that either
    /// should reach back. All processes should set the same number.
    ///
    /// ```
    /// # use tower_sse::redis::Redis;
    /// // 500 events a second, kept for 5 minutes.
    /// let redis = Redis::open("redis://127.0.0.1/")?.max_len(500 * 300);
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is less than 10,000: reading relies on a stream that is longer than one answer.
    #[track_caller]
    pub fn max_len(mut self, entries: usize) -> Self {
        assert!(entries >= MIN_MAX_LEN, "a stream must keep at least {MIN_MAX_LEN} entries");
        self.max_len = entries;
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The default
    /// is 2 seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse::redis::Redis;
    /// let redis = Redis::open("redis://127.0.0.1/")?.publish_deadline(Duration::from_millis(500));
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// Waits this long after each read of the stream, so that Redis answers fewer and larger reads. The
    /// default is zero. It delays events by up to this time.
    ///
    /// Set some milliseconds if many processes follow a stream of many single events.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse::redis::Redis;
    /// let redis = Redis::open("redis://127.0.0.1/")?.pause(Duration::from_millis(5));
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Returns the state of the connection, which outlives this value.
    ///
    /// ```no_run
    /// # use tower_sse::{hub::Hub, redis::Redis};
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let redis = Redis::open("redis://127.0.0.1/")?;
    /// let health = redis.health();
    /// let hub = Hub::connect(redis).await?;
    /// assert!(health.is_following());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn health(&self) -> RedisHealth {
        self.health.clone()
    }
}

impl Broker for Redis {}

impl SealedBroker for Redis {
    type Error = Error;

    fn name(&self) -> String {
        // The database and the server may change without a change of the events' ids.
        format!("redis:{}", self.key)
    }

    /// Connects and loads the history. Then a task follows the stream until the hub is gone.
    async fn start(self, feed: Feed) -> Result<impl Publisher, Error> {
        let Self { client, key, max_len, publish_deadline, pause, health } = self;
        let (clock, gate) = (Arc::new(Clock::new()), Arc::new(Gate::new()));
        let connector = Arc::new(Connector::new(client, Arc::from(&*key), Arc::clone(&clock)));
        let mut reader = Reader::new(feed, Arc::clone(&gate), Arc::clone(&clock), health.clone());
        let connections = match load(&connector, &mut reader).await {
            // A cluster names the server to connect to.
            Err(Stop::Error(error)) if connector.follow_redirect(&error) => {
                load(&connector, &mut reader).await
            }
            result => result,
        };
        match connections {
            Ok(connections) => Follower { connector, reader, pause }.spawn(connections),
            // The hub cannot go before this future, which is a part of making it.
            Err(Stop::Closed) => {}
            Err(Stop::Error(error)) => {
                health.set_error(&error);
                return Err(error);
            }
        }
        let deadline = publish_deadline;
        let config = PublisherConfig { key, max_len, deadline, gate, clock, health };
        Ok(RedisPublisher { shared: Arc::new(config) })
    }
}

async fn load(connector: &Connector, reader: &mut Reader) -> Result<Connections, Stop> {
    let mut connections = connector.connect().await?;
    reader.load_history(&mut connections.reading).await?;
    Ok(connections)
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address can have a password.
        f.debug_struct("Redis")
            .field("key", &self.key)
            .field("max_len", &self.max_len)
            .field("publish_deadline", &self.publish_deadline)
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}
