use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    Credentials, Error, RedisHealth, Urls,
    connection::CONNECT_TIMEOUT,
    connector::Connector,
    credentials::Provider,
    publisher::{Gate, RedisPublisher},
    reader::{Follower, Reader},
    servers::Servers,
    stream::Clock,
    urls,
};
use crate::{
    BoxError,
    hub::broker::{Broker, Feed},
};

/// The key of a hub's stream, unless the program sets one.
const DEFAULT_KEY: &str = "tower-sse";

/// A [`Broker`] over Redis Streams: hubs of several processes share the events of one stream.
///
/// ```no_run
/// use tower_sse::{hub::Hub, redis::Redis};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::connect(Redis::open("redis://127.0.0.1/")?.key("news")).await?;
/// hub.publish("news", "hello").await?;
/// # Ok(())
/// # }
/// ```
///
/// See the [module](super) for requirements and guarantees.
#[must_use = "pass it to `Hub::connect`"]
pub struct Redis {
    pub(super) servers: Servers,
    /// `None`: the default.
    pub(super) key: Option<String>,
    pub(super) max_len: usize,
    pub(super) max_age: Option<Duration>,
    pub(super) publish_deadline: Duration,
    pub(super) pause: Duration,
    #[cfg(feature = "runs")]
    pub(super) lease: Duration,
    pub(super) health: RedisHealth,
}

impl Redis {
    /// Creates a broker for the Redis or Valkey server at `urls`: one URL, or a list with the URLs
    /// of a primary and its replicas. [`Hub::connect`](crate::hub::Hub::connect) opens the
    /// connection.
    ///
    /// - `redis://host:6379/0`: the port and the database can be left out
    /// - `redis://user:password@host/`: the user can be left out
    /// - `rediss://host/`: over TLS (feature `redis-tls`)
    /// - `unix:///run/redis.sock`: over a Unix socket
    ///
    /// Of a list, the first server that responds as a primary is used. After each break, and when
    /// the server has become a replica, all are tried again. List all servers that Sentinel or an
    /// operator may promote:
    ///
    /// ```
    /// # use tower_sse::redis::Redis;
    /// let redis = Redis::open(["redis://redis-1.internal/", "redis://redis-2.internal/"])?;
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a URL is none of these, if there is no URL, or if the URLs name different
    /// databases.
    pub fn open(urls: impl Urls) -> Result<Self, Error> {
        let clients = urls::parse(urls)?;
        Ok(Self {
            servers: Servers::new(clients, CONNECT_TIMEOUT),
            key: None,
            max_len: 100_000,
            max_age: None,
            publish_deadline: Duration::from_secs(2),
            pause: Duration::ZERO,
            #[cfg(feature = "runs")]
            lease: Duration::from_secs(8),
            health: RedisHealth::new(),
        })
    }

    /// Sets an async closure that returns the user and the password, for credentials that change at
    /// run time. By default they are those of the URL.
    ///
    /// The closure is called for each attempt to connect, and once more if Redis refuses its
    /// credentials. For credentials that [expire](Credentials::expire_in), it is also called before
    /// they do. An error, or no result within the [time limit](Self::timeout), counts as a failed
    /// attempt.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse::{BoxError, redis::{Credentials, Redis}};
    /// # async fn fetch_token() -> Result<String, BoxError> { Ok(String::new()) }
    /// let redis = Redis::open("rediss://redis.internal/")?.credentials(|| async {
    ///     let token = fetch_token().await?;
    ///     Ok::<_, BoxError>(Credentials::new("app", token).expire_in(Duration::from_secs(900)))
    /// });
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    pub fn credentials<F, Fut, E>(mut self, closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.servers.provider = Some(Provider(Arc::new(move || {
            let asking = closure();
            Box::pin(async move { asking.await.map_err(Into::into) })
        })));
        self
    }

    /// Sets the key of the stream. The default is `tower-sse`. All hubs with this key on this
    /// server share their events and ids, so two programs that leave the default share their topics.
    ///
    /// Ids depend only on the key, so that they stay valid when the stream moves to another server
    /// or database. Use different keys for unrelated hubs, even on different servers. With the same
    /// key, an id of one hub is valid in the other: a client that resumes there continues after
    /// that id and receives no gap.
    ///
    /// ```
    /// # use tower_sse::redis::Redis;
    /// let redis = Redis::open("redis://127.0.0.1/")?.key("chat:events");
    /// # Ok::<_, tower_sse::redis::Error>(())
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn key_or_default(&self) -> &str {
        self.key.as_deref().unwrap_or(DEFAULT_KEY)
    }

    /// Returns a handle to the state of the connection. It stays valid after
    /// [`Hub::connect`](crate::hub::Hub::connect) has taken this value.
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

impl Broker for Redis {
    type Publisher = RedisPublisher;
    type Error = Error;

    fn name(&self) -> String {
        // Only the key, so that ids stay valid when the stream moves to another server or database.
        format!("redis:{}", self.key_or_default())
    }

    /// Connects and loads the history. Then a task follows the stream until the hub is closed or
    /// dropped.
    async fn start(self, feed: Feed) -> Result<RedisPublisher, Error> {
        let key = self.key_or_default().to_owned();
        let Self { servers, max_len, max_age, publish_deadline, pause, health, .. } = self;
        if max_age.is_some_and(|age| age < feed.max_age()) {
            return Err(Error::new(
                "connect a hub",
                "`max_age` is less than the age of the hub's retention",
            ));
        }
        let (clock, gate) = (Arc::new(Clock::new()), Arc::new(Gate::default()));
        let reply_timeout = servers.timeout.max(publish_deadline);
        let connector =
            Connector::new(servers, reply_timeout, Arc::from(&*key), Arc::clone(&clock));
        let (loaded, loading) = oneshot::channel();
        let (opens, shows) = (Arc::clone(&gate), health.clone());
        feed.spawn(move |feed| {
            let reader = Reader::new(feed, opens, shows);
            let follower = Follower { connector, reader, max_len, max_age, pause, renewal: None };
            follower.run(|result| _ = loaded.send(result))
        });
        let panicked = |_| Err(Error::new("connect a hub", "the task that reads has ended"));
        loading.await.unwrap_or_else(panicked)?;
        let deadline = publish_deadline;
        Ok(RedisPublisher { key, max_len, deadline, gate, clock, health })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL can contain a password.
        f.debug_struct("Redis")
            .field("key", &self.key_or_default())
            .field("max_len", &self.max_len)
            .field("max_age", &self.max_age)
            .field("timeout", &self.servers.timeout)
            .field("publish_deadline", &self.publish_deadline)
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}
