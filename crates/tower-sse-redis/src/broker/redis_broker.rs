use std::{future::pending, sync::Arc, time::Duration};

use tower_sse::hub::broker::{Broker, Feed};
use tower_sse_broker::__private::{Gate, LogOptions, follow};

use super::publisher::RedisPublisher;
use super::redis_stream::Clock;
use super::stream_log::{LogState, StreamLog};
use crate::server::{route::Route, servers::Servers};
use crate::{BrokerStats, Error, Health, Redis};

/// A [`Broker`] over a Redis stream, created by [`Redis::broker`]. Hubs in several processes can
/// share the stream.
#[derive(Debug)]
#[must_use = "pass it to `Hub::connect`"]
pub struct RedisBroker {
    servers: Servers,
    key: String,
    options: LogOptions,
    pause: Duration,
    health: Health,
}

impl Redis {
    /// Returns a broker for the stream with this key. All hubs with this key in the same database
    /// share their events and ids.
    ///
    /// Ids stay valid when you move the stream to another server or database. Give unrelated hubs
    /// different keys, even on different servers. Otherwise, a client that moves between these hubs
    /// can miss events without a gap.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("chat:events").max_events(200_000);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn broker(&self, key: impl Into<String>) -> RedisBroker {
        RedisBroker {
            servers: self.servers.clone(),
            key: key.into(),
            options: LogOptions::new(Duration::from_secs(2)),
            pause: Duration::ZERO,
            health: Health::default(),
        }
    }
}

impl RedisBroker {
    /// Returns a handle to the connections' state. The handle stays valid after
    /// `Hub::connect`.
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
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Returns a handle to the stream's statistics. The handle stays valid after `Hub::connect`.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.health.stats().clone()
    }
}

impl Broker for RedisBroker {
    type Publisher = RedisPublisher;
    type Error = Error;

    fn name(&self) -> String {
        // Only the key, so that ids stay valid when the stream moves to another server or database.
        format!("redis:{}", self.key)
    }

    /// Connects and loads the history. A task follows the stream until the hub is closed or
    /// dropped.
    async fn start(self, feed: Feed) -> Result<RedisPublisher, Error> {
        let Self { servers, key, mut options, pause, health } = self;
        options.adopt(&feed)?;
        let (clock, gate) = (Arc::new(Clock::new()), Arc::new(Gate::default()));
        let publisher = RedisPublisher {
            key: key.clone(),
            max_events: options.max_events,
            deadline: options.publish_deadline,
            timeout: servers.timeout,
            gate: Arc::clone(&gate),
            clock: Arc::clone(&clock),
            health: health.clone(),
        };
        let (route, key) = (Arc::new(Route::new(servers, key.clone())), Arc::from(key));
        let (state, log_health) = (LogState::default(), health.clone());
        let log = StreamLog { route, key, clock, health: log_health, options, pause, state };
        follow(log, feed, gate, health, pending()).await?;
        Ok(publisher)
    }
}

impl RedisBroker {
    /// Limits the stream to about `events` events across all topics. The oldest events are removed.
    /// The default is 100,000 events, which is roughly 33 MB if each event is 256 bytes.
    ///
    /// Set the same limit in all processes: [work it out](crate::operating#sizes) from the rate of
    /// events.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// // 500 events a second, kept for 5 minutes.
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").max_events(500 * 300);
    /// # Ok::<_, tower_sse_redis::Error>(())
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

    /// Removes entries that are older than `age`, by the server's clock. By default, only
    /// [`max_events`](Self::max_events) removes entries.
    ///
    /// Use this to free memory after a busy period, or to delete old data. About every two seconds,
    /// each connected process removes the entries that are older than `age`, except for the newest
    /// one of them.
    ///
    /// After a process has been disconnected for longer than `age`, its clients can receive a gap.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").max_age(Duration::from_secs(3600));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// The Redis user needs permission to run `XTRIM`.
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than the
    /// maximum age in the hub's [`retention`](tower_sse::hub::HubBuilder::retention), or if the
    /// retention has no age limit.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.max_age = Some(age);
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The
    /// default is 2 seconds. Publishing waits up to `deadline` for a reply even if the
    /// [timeout](crate::Redis::timeout) is shorter. But if Redis sends no replies at all for longer
    /// than the timeout, the hub reconnects, and publishing returns
    /// [`Unknown`](tower_sse::hub::PublishError::Unknown) at most one more timeout later. It does so
    /// too at most one timeout after the hub was closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").publish_deadline(Duration::from_millis(500));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.options.publish_deadline = deadline;
        self
    }

    /// Sets a pause after each read that reaches the end of the stream. The default is zero.
    ///
    /// Use a few milliseconds if many processes follow a busy stream. Redis then answers fewer,
    /// larger reads, and each event is delayed by up to `pause`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").pause(Duration::from_millis(5));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}
