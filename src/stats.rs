use std::{
    array,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crate::connection::{CloseReason, CloseReport};

/// Counters of streams, for a `/metrics` route or a health check.
///
/// Every layer counts; a value that was given to [`SseLayer::stats`](crate::SseLayer::stats) reads what that
/// layer and its clones count, and one value can be given to several layers. Clones are the same
/// counters.
///
/// An event costs them nothing: a stream counts for itself, and adds to these when it opens, when its
/// heartbeat fires and when it closes. Frames and bytes of a stream that is never silent are here only
/// once it has closed.
///
/// ```
/// use tower_sse::{SseLayer, Stats};
///
/// let stats = Stats::new();
/// # let layer: SseLayer =
/// SseLayer::new().stats(&stats);
///
/// let now = stats.snapshot();
/// println!("sse_streams_open {}", now.open());
/// for (reason, closed) in now.closed_by_reason() {
///     println!("sse_streams_closed_total{{reason=\"{reason}\"}} {closed}");
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stats {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    refused: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    heartbeats: AtomicU64,
}

impl Stats {
    /// Counters that are all zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters as they are now. They are read one after another, while streams go on; a stream
    /// that closes in between counts as open.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let counters = &*self.counters;
        // Closed before opened, or there could be more of the first: who sees that a stream has closed
        // then also sees that it was opened.
        let closed =
            array::from_fn(|at| counters.closed.get(at).map_or(0, |closed| closed.load(Acquire)));
        StatsSnapshot {
            closed,
            opened: load(&counters.opened),
            refused: load(&counters.refused),
            frames: load(&counters.frames),
            bytes: load(&counters.bytes),
            heartbeats: load(&counters.heartbeats),
        }
    }

    pub(crate) fn opened(&self) {
        self.counters.opened.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.counters.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent(&self, frames: u64, bytes: u64, heartbeats: u64) {
        self.counters.frames.fetch_add(frames, Relaxed);
        self.counters.bytes.fetch_add(bytes, Relaxed);
        self.counters.heartbeats.fetch_add(heartbeats, Relaxed);
    }

    pub(crate) fn closed(&self, closed: &CloseReport) {
        if let Some(counter) = self.counters.closed.get(closed.reason as usize) {
            counter.fetch_add(1, Release);
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// What [`Stats`] counted up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSnapshot {
    opened: u64,
    closed: [u64; CloseReason::ALL.len()],
    refused: u64,
    frames: u64,
    bytes: u64,
    heartbeats: u64,
}

impl StatsSnapshot {
    /// How many streams are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed())
    }

    /// How many streams were opened.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// How many streams have closed.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// How many streams have closed for each reason, those with none among them.
    #[must_use]
    pub fn closed_by_reason(&self) -> impl ExactSizeIterator<Item = (CloseReason, u64)> + use<> {
        CloseReason::ALL.into_iter().zip(self.closed)
    }

    /// How many streams were refused, at the [limit](crate::SseLayer::max_streams) or after the
    /// [shutdown](crate::SseLayer::shutdown) had begun. They are not opened.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// How many frames of data were handed to the server.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// How many bytes those frames had.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of the frames were heartbeats.
    #[must_use]
    pub const fn heartbeats(&self) -> u64 {
        self.heartbeats
    }
}
