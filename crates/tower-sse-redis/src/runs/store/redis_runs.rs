use std::time::Duration;

use crate::{BrokerStats, Health, Redis, server::servers::Servers};

/// The minimum of [`RedisRuns::lease`].
const MIN_LEASE: Duration = Duration::from_secs(2);
/// The maximum of [`RedisRuns::lease`]: a longer time could overflow an instant or Redis' clock.
const MAX_LEASE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A store of runs on one Redis server or cluster node, created by [`Redis::runs`]. Several
/// processes share their [`Runs`](tower_sse::runs::Runs) through it.
#[derive(Debug)]
#[must_use = "pass it to `RunsBuilder::connect`"]
pub struct RedisRuns {
    pub(super) servers: Servers,
    pub(super) prefix: String,
    pub(super) lease: Duration,
    pub(super) health: Health,
}

impl Redis {
    /// Returns a store of runs. The store's keys in Redis begin with `prefix`. Programs with the
    /// same prefix in the same database share their runs.
    ///
    /// In a cluster, the prefix needs a hash tag, such as `{app}`, so that all keys are on one
    /// node. Without it, connecting fails.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// let store = Redis::open("redis://127.0.0.1/")?.runs("app");
    /// # drop(store);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "runs")))]
    pub fn runs(&self, prefix: impl Into<String>) -> RedisRuns {
        RedisRuns {
            servers: self.servers.clone(),
            prefix: prefix.into(),
            lease: Duration::from_secs(8),
            health: Health::default(),
        }
    }
}

impl RedisRuns {
    /// Sets the lease: the time after which a process that shows no sign of life counts as dead.
    /// The default is 8 seconds.
    ///
    /// With a longer lease, runs survive longer pauses of their process: four fifths of a lease are
    /// harmless. With a shorter lease, clients learn sooner that the process has died or is still
    /// paused. Clients that read the run from another process learn of it one lease to six fifths
    /// of a lease after the last sign of life of the run's process: 8 to 9.6 seconds with the
    /// default. If the process that they read from has lost its own connection to Redis meanwhile,
    /// or Redis is slow, they learn of it later. Once the run's process has been declared dead, a
    /// request without a last event id can start a new run with the same key.
    ///
    /// Give all processes the same lease. Otherwise, a process with a shorter lease can declare one
    /// with a longer lease dead, and clients can receive events late.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let store = Redis::open("redis://127.0.0.1/")?.runs("app").lease(Duration::from_secs(20));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `lease` is less than 2 seconds: short pauses of a process would end its runs.
    #[track_caller]
    pub fn lease(mut self, lease: Duration) -> Self {
        assert!(lease >= MIN_LEASE, "a lease must not be less than {MIN_LEASE:?}");
        self.lease = lease.min(MAX_LEASE);
        self
    }

    /// Returns a handle to the connections' state. The handle stays valid after
    /// [`RunsBuilder::connect`](tower_sse::runs::RunsBuilder::connect).
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Returns a handle to the statistics, of which runs have only
    /// [`evicts`](BrokerStats::evicts). The handle stays valid after
    /// [`RunsBuilder::connect`](tower_sse::runs::RunsBuilder::connect).
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.health.stats().clone()
    }
}
