use std::sync::{
    Arc, Mutex,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use tokio::time::Instant;

use super::{
    Error, ErrorKind,
    stats::{PublishCounters, PublishStats, StreamStats},
};
use crate::{hub::PublishError, lock::lock};

/// The state of a hub's connection to Redis, from [`Redis::health`](super::Redis::health).
///
/// Clones share the same state. Use it in a readiness probe:
///
/// ```
/// use axum::{extract::State, http::StatusCode};
/// use tower_sse::redis::RedisHealth;
///
/// async fn ready(State(health): State<RedisHealth>) -> StatusCode {
///     if health.is_following() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// }
/// # _ = ready;
/// ```
///
/// A process that is not following still serves the events that it has received, and its streams
/// catch up by themselves. Take it out of a load balancer only after several failed probes: the
/// other processes have probably lost the same Redis.
#[derive(Clone, Debug)]
pub struct RedisHealth {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_following: AtomicBool,
    last_error: Mutex<Option<(ErrorKind, String)>>,
    losses: AtomicU64,
    foreign_entries: AtomicU64,
    evicts: AtomicBool,
    reconnections: AtomicU64,
    publishes: PublishCounters,
    stream: Mutex<Option<StreamStats>>,
}

impl RedisHealth {
    pub(super) fn new() -> Self {
        Self { state: Arc::default() }
    }

    /// Returns whether the hub is connected, has caught up, and can publish. For runs, returns
    /// whether they are connected.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.state.is_following.load(Acquire)
    }

    /// Returns the text of the newest error, even after the connection has recovered, or `None` if
    /// there was no error.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_failure().map(|(_, text)| text)
    }

    /// Returns the kind and the text of the newest error.
    pub(super) fn last_failure(&self) -> Option<(ErrorKind, String)> {
        lock(&self.state.last_error).clone()
    }

    /// Returns how many losses this process has detected since it loaded the history.
    ///
    /// One loss can affect any number of events. [`HubStats::gaps`](crate::hub::HubStats::gaps)
    /// counts all gaps sent to clients, for losses and for evictions.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.state.losses.load(Relaxed)
    }

    /// Returns how many entries of the stream were skipped because they are not in the
    /// [format](super#entries) of events.
    #[must_use]
    pub fn foreign_entries(&self) -> u64 {
        self.state.foreign_entries.load(Relaxed)
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

    /// Returns whether the server evicts keys from now on, and did not before.
    pub(super) fn set_evicting(&self, evicts: bool) -> bool {
        !self.state.evicts.swap(evicts, Relaxed) && evicts
    }

    /// Returns how many times the process has connected again after its connection broke.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.state.reconnections.load(Relaxed)
    }

    /// Returns the outcomes and latencies of publishing. They are zero for runs.
    #[must_use]
    pub fn publishes(&self) -> PublishStats {
        self.state.publishes.snapshot()
    }

    /// Returns the state of the hub's stream, or `None` before it is known. It is updated every two
    /// seconds while the hub [follows](Self::is_following) the stream. Runs have no such stream.
    #[must_use]
    pub fn stream(&self) -> Option<StreamStats> {
        *lock(&self.state.stream)
    }

    pub(super) fn set_stream(&self, stream: StreamStats) {
        *lock(&self.state.stream) = Some(stream);
    }

    pub(super) fn count_reconnection(&self) {
        self.state.reconnections.fetch_add(1, Relaxed);
    }

    /// Starts to measure a publish.
    pub(super) fn begin_publish(&self) -> Measured<'_> {
        Measured { counters: Some(&self.state.publishes), began: Instant::now() }
    }

    pub(super) fn set_following(&self, is_following: bool) {
        self.state.is_following.store(is_following, Release);
    }

    pub(super) fn set_error(&self, error: &Error) {
        let failure = (error.kind(), display_with_sources(error));
        *lock(&self.state.last_error) = Some(failure);
    }

    pub(super) fn count_loss(&self) {
        self.state.losses.fetch_add(1, Relaxed);
    }

    pub(super) fn count_foreign_entry(&self) {
        self.state.foreign_entries.fetch_add(1, Relaxed);
    }
}

/// A publish whose outcome is not known yet.
pub(super) struct Measured<'a> {
    /// `None` once the outcome is counted.
    counters: Option<&'a PublishCounters>,
    began: Instant,
}

impl Measured<'_> {
    pub(super) fn end<T>(mut self, result: &Result<T, PublishError>) {
        if let Some(counters) = self.counters.take() {
            counters.count(result, self.began.elapsed());
        }
    }
}

impl Drop for Measured<'_> {
    /// Counts a publish whose future is dropped.
    fn drop(&mut self) {
        if let Some(counters) = self.counters {
            counters.count_unknown();
        }
    }
}

/// Returns the texts of an error and of its sources.
pub(super) fn display_with_sources(error: &dyn std::error::Error) -> String {
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
