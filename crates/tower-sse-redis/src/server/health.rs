use std::{sync::Arc, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed};

use tower_sse_broker::{warn, with_sources};

use crate::Error;

/// The state of the connections of a hub or of runs. You get it from
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
/// A hub that is not ready still serves the events that it has received, and its clients receive
/// later events when it is ready again. Take the process out of a load balancer only after several
/// failed probes, because the other processes probably cannot reach Redis either.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub(crate) common: tower_sse_broker::Health<Error>,
    evicts: Arc<AtomicBool>,
}

impl Health {
    /// Returns whether the hub is connected and has caught up with its stream, or whether the runs
    /// are connected. If a hub falls behind later, the result stays `true`: see
    /// [`HubStats::lag`](tower_sse::hub::HubStats::lag).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.common.is_ready()
    }

    /// Returns the text of the newest error, if any, even after the connection has recovered.
    /// Errors from `publish` are not included.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.common.last_error().map(|error| with_sources(&error))
    }

    /// Returns whether Redis' `maxmemory-policy` allows it to delete the keys of the hub or the
    /// runs when it reaches `maxmemory`. A hub checks this only when it connects. If the result is
    /// `true`, the process has also logged a WARN line (feature `tracing`). If Redis deletes the
    /// keys, a hub's stream loses all of its events. Runs that are still in progress are usually
    /// [restored](tower_sse::runs#several-processes), but ended runs can be lost.
    ///
    /// A `volatile-…` policy affects the keys of runs, which expire, but not a hub's stream.
    #[must_use]
    pub fn evicts(&self) -> bool {
        self.evicts.load(Relaxed)
    }

    /// Returns how many times the process has reconnected, after a break or to report a loss.
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
