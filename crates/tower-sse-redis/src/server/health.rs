use std::sync::{
    Arc, Mutex,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use tower_sse::hub::broker::support::lock;

use crate::{Error, ErrorKind};

/// The state of a connection to Redis, from [`RedisBroker::health`](crate::RedisBroker::health) or
/// `RedisRuns::health`.
///
/// Clones share the same state. Use it in a readiness probe:
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use tower_sse_redis::RedisHealth;
///
/// async fn ready(State(health): State<RedisHealth>) -> StatusCode {
///     if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// }
/// # _ = ready;
/// ```
///
/// A process that is not ready still serves the events that it has received, and its streams catch
/// up by themselves. Take it out of a load balancer only after several failed probes: the other
/// processes have probably lost the same Redis.
#[derive(Clone, Debug)]
pub struct RedisHealth {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_ready: AtomicBool,
    last_error: Mutex<Option<(ErrorKind, String)>>,
    evicts: AtomicBool,
    reconnections: AtomicU64,
}

impl RedisHealth {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default() }
    }

    /// Returns whether the hub or the runs are connected. A hub has also caught up with its stream.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.is_ready.load(Acquire)
    }

    /// Returns the text of the newest error, even after the connection has recovered, or `None` if
    /// there was no error.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_failure().map(|(_, text)| text)
    }

    /// Returns the kind and the text of the newest error.
    pub(crate) fn last_failure(&self) -> Option<(ErrorKind, String)> {
        lock(&self.state.last_error).clone()
    }

    /// Returns whether the server can delete the keys of the hub or the runs when its memory is
    /// full, because of its `maxmemory-policy`. A hub then loses all events of its stream, and a run
    /// is interrupted. It is also logged, at WARN.
    ///
    /// The policies `volatile-…` delete keys of runs, but not the stream of a hub.
    #[must_use]
    pub fn evicts(&self) -> bool {
        self.state.evicts.load(Relaxed)
    }

    /// Returns how many times the process has connected again after its connection broke.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.state.reconnections.load(Relaxed)
    }

    /// Sets whether the server evicts keys, and warns if it did not before.
    pub(crate) fn set_evicting(&self, evicts: bool) {
        if !self.state.evicts.swap(evicts, Relaxed) && evicts {
            warn!(
                "Redis evicts keys when its memory is full, which loses events and ends runs: use \
                 noeviction"
            );
        }
    }

    pub(crate) fn count_reconnection(&self) {
        self.state.reconnections.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.state.is_ready.store(is_ready, Release);
    }

    pub(crate) fn set_error(&self, error: &Error) {
        let failure = (error.kind(), display_with_sources(error));
        *lock(&self.state.last_error) = Some(failure);
    }
}

/// Returns the texts of an error and of its sources.
pub(crate) fn display_with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        // Some errors include the text of their source.
        if !text.ends_with(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = error.source();
    }
    text
}
