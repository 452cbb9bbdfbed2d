use std::{sync::Arc, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed};

use tower_sse_broker::{warn, with_sources};

use crate::Error;

/// The state of the connections to Redis, for a hub or for runs. You get it from
/// [`RedisBroker::health`](crate::RedisBroker::health) or `RedisRuns::health`. Clones share it. A
/// readiness probe:
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use tower_sse_redis::Health;
///
/// async fn ready(State(health): State<Health>) -> StatusCode {
///     if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// }
/// # _ = ready;
/// ```
///
/// A hub that isn't ready still serves the events that it has received. Take its process out of a
/// load balancer only after several failed probes: the other processes probably can't reach Redis
/// either.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(crate) common: tower_sse_broker::Health<Error>,
    evicts: Arc<AtomicBool>,
}

impl Health {
    /// For a hub, returns whether it's connected and has caught up with its stream. For runs,
    /// returns whether they're connected. While Redis refuses writes
    /// ([`ReadOnly`](crate::ErrorKind::ReadOnly)), returns `false` for both.
    ///
    /// If a hub falls behind later, the result can stay `true`. To notice that, use
    /// [`HubStats::lag`](tower_sse::hub::HubStats::lag).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns the text of the newest error, if any, even after the connection has recovered.
    /// Errors from `publish` aren't included.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.common.last_error().map(|error| with_sources(&error))
    }

    /// Returns whether Redis may delete the keys of the hub or the runs when it reaches
    /// `maxmemory`.
    ///
    /// If so, set [`maxmemory-policy noeviction`](crate::running#checklist). With the current
    /// policy, Redis can delete the hub's whole stream, or ended runs. Runs that are still in
    /// progress are usually [restored](tower_sse::runs#several-processes).
    ///
    /// A hub checks this only when it connects.
    #[must_use]
    pub fn evicts(&self) -> bool {
        self.evicts.load(Relaxed)
    }

    /// Returns how many times the hub or the runs have reconnected, after a break or to report a
    /// loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.common.reconnections()
    }

    /// Records whether the server can evict keys. Warns when it begins to.
    pub(crate) fn set_evicting(&self, evicts: bool) {
        if !self.evicts.swap(evicts, Relaxed) && evicts {
            warn!(
                "Redis evicts keys when its memory is full, which loses events and ends runs: use \
                 noeviction"
            );
        }
    }
}
