use std::{future::pending, sync::Arc, time::Duration};

use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::{Gate, follow};

use super::{
    connector::Connector,
    publisher::RedisPublisher,
    reader::{LogState, StreamLog},
    stream::Clock,
};
use crate::{BrokerStats, Error, Redis, RedisHealth, server::servers::Servers};

/// A [`Broker`] over Redis Streams, from [`Redis::broker`]: hubs of several processes share the
/// events of one stream.
#[derive(Debug)]
#[must_use = "pass it to `Hub::connect`"]
pub struct RedisBroker {
    servers: Servers,
    key: String,
    pub(super) max_len: usize,
    pub(super) max_age: Option<Duration>,
    pub(super) publish_deadline: Duration,
    pub(super) pause: Duration,
    health: RedisHealth,
    stats: BrokerStats,
}

impl Redis {
    /// Returns a broker whose stream has this key. All hubs with this key on this server share their
    /// events and ids.
    ///
    /// Ids depend only on the key, so that they stay valid when the stream moves to another server
    /// or database. Use different keys for unrelated hubs, even on different servers. With the same
    /// key, an id of one hub is valid in the other: a client that resumes there continues after
    /// that id and receives no gap.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("chat:events").max_len(200_000);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn broker(&self, key: impl Into<String>) -> RedisBroker {
        let health = RedisHealth::new();
        RedisBroker {
            servers: self.servers.clone(),
            key: key.into(),
            max_len: 100_000,
            max_age: None,
            publish_deadline: Duration::from_secs(2),
            pause: Duration::ZERO,
            stats: BrokerStats::of(health.common.clone()),
            health,
        }
    }
}

impl RedisBroker {
    /// Returns a handle to the state of the connection. It stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this value.
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_redis::Redis;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news");
    /// let health = broker.health();
    /// let hub = Hub::connect(broker).await?;
    /// assert!(health.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn health(&self) -> RedisHealth {
        self.health.clone()
    }

    /// Returns a handle to the numbers of the stream, for metrics. It stays valid after
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) has taken this value.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.stats.clone()
    }
}

impl Broker for RedisBroker {
    type Publisher = RedisPublisher;
    type Error = Error;

    fn name(&self) -> String {
        // Only the key, so that ids stay valid when the stream moves to another server or database.
        format!("redis:{}", self.key)
    }

    /// Connects and loads the history. Then a task follows the stream until the hub is closed or
    /// dropped.
    async fn start(self, feed: Feed) -> Result<RedisPublisher, Error> {
        let Self { servers, key, max_len, max_age, publish_deadline, pause, health, stats } = self;
        let retained = feed.max_age();
        if max_age.is_some_and(|age| age < retained) {
            let reason = "`max_age` is less than the age of the hub's retention";
            return Err(Error::new("connect a hub", reason));
        }
        let (clock, gate) = (Arc::new(Clock::new()), Arc::new(Gate::default()));
        let reply_timeout = servers.timeout.max(publish_deadline);
        let connector =
            Connector::new(servers, reply_timeout, Arc::from(&*key), Arc::clone(&clock));
        let publisher = RedisPublisher {
            key,
            max_len,
            deadline: publish_deadline,
            gate: Arc::clone(&gate),
            clock: Arc::clone(&clock),
            health: health.clone(),
        };
        let state = LogState::default();
        let common = health.common.clone();
        let log =
            StreamLog { connector, clock, health, stats, max_len, max_age, retained, pause, state };
        follow(log, feed, gate, common, pending()).await?;
        Ok(publisher)
    }
}
