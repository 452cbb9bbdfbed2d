use std::{
    array, fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crate::{
    connection::{CloseReason, CloseReport},
    prometheus::{counter, gauge, labelled_counter},
};

/// Counters of event streams, for a `/metrics` route or a health check.
///
/// Pass a value to [`SseLayer::stats`](crate::SseLayer::stats) to count the streams of that layer
/// and its clones. Several layers can share one value. Clones share the same counters.
///
/// An event does not write to the shared counters. A stream counts its own frames and bytes, and
/// adds them to the shared counters at each 64 KiB, at each heartbeat and when it closes. The
/// counters therefore lag by less than 64 KiB for each open stream, and a stream that sends little
/// but is never idle may add nothing for a long time.
///
/// ```
/// use tower_sse::{SseLayer, Stats};
///
/// let stats = Stats::new();
/// # let layer: SseLayer =
/// SseLayer::new().stats(&stats);
///
/// assert_eq!(stats.snapshot().open(), 0);
/// ```
///
/// A snapshot displays as metrics in the text format of Prometheus, and so do
/// [`HubStats`](crate::hub::HubStats) and [`RunsStats`](crate::runs::RunsStats). This is a whole
/// `/metrics` route:
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "hub"))] {
/// use axum::{Router, routing::get};
/// use tower_sse::{Stats, hub::Hub};
///
/// # fn routes(stats: Stats, hub: Hub) -> Router {
/// # let router: Router =
/// Router::new().route("/metrics", get(async move || format!("{}{}", stats.snapshot(), hub.stats())))
/// # ; router }
/// # _ = routes;
/// # }
/// ```
///
/// The content type of the format is `text/plain; version=0.0.4`. Prometheus also accepts axum's
/// `text/plain`.
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
    /// Creates counters that are all zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the current values of the counters.
    ///
    /// The counters are read one after another while streams are running. A stream that closes
    /// during the call may still count as open.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let counters = &*self.counters;
        // Read `closed` before `opened`: a snapshot that includes the close of a stream then also
        // includes its opening.
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

    pub(crate) fn closed(&self, report: &CloseReport) {
        if let Some(counter) = self.counters.closed.get(report.reason as usize) {
            counter.fetch_add(1, Release);
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// A snapshot of [`Stats`]. The counters in it were read one after another.
#[derive(Clone, PartialEq, Eq)]
pub struct StatsSnapshot {
    opened: u64,
    closed: [u64; CloseReason::ALL.len()],
    refused: u64,
    frames: u64,
    bytes: u64,
    heartbeats: u64,
}

impl StatsSnapshot {
    /// Returns the number of streams that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed())
    }

    /// Returns the number of streams that were opened.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Returns the number of streams that have closed.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Returns the number of streams that have closed for each reason, including reasons with none.
    #[must_use]
    pub fn closed_by_reason(&self) -> impl ExactSizeIterator<Item = (CloseReason, u64)> + use<> {
        CloseReason::ALL.into_iter().zip(self.closed)
    }

    /// Returns the number of streams that were refused: at the
    /// [limit](crate::SseLayer::max_streams), after the [shutdown](crate::SseLayer::shutdown) began,
    /// or by the program inside the layer, with [`Refusal::answer`](crate::Refusal::answer). They do
    /// not count as opened.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the number of data frames that were passed to the server.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns the number of bytes in those frames.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of frames that were heartbeats.
    #[must_use]
    pub const fn heartbeats(&self) -> u64 {
        self.heartbeats
    }
}

impl fmt::Display for StatsSnapshot {
    /// Writes the counters in the text format of Prometheus.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        gauge(f, "sse_streams_open", "Streams that are open.", self.open())?;
        counter(f, "sse_streams_opened_total", "Streams that were opened.", self.opened)?;
        let (name, help) = ("sse_streams_closed_total", "Streams that have closed, by reason.");
        labelled_counter(f, name, help, "reason", self.closed_by_reason())?;
        counter(f, "sse_streams_refused_total", "Streams that were refused.", self.refused)?;
        counter(f, "sse_frames_total", "Frames of data that were sent.", self.frames)?;
        counter(f, "sse_bytes_total", "Bytes that were sent.", self.bytes)?;
        counter(f, "sse_heartbeats_total", "Frames that were heartbeats.", self.heartbeats)
    }
}

impl fmt::Debug for StatsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsSnapshot")
            .field("opened", &self.opened)
            .field("closed", &ClosedByReason(self.closed))
            .field("refused", &self.refused)
            .field("frames", &self.frames)
            .field("bytes", &self.bytes)
            .field("heartbeats", &self.heartbeats)
            .finish()
    }
}

/// Displays each reason with its number.
struct ClosedByReason([u64; CloseReason::ALL.len()]);

impl fmt::Debug for ClosedByReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(CloseReason::ALL.into_iter().zip(self.0)).finish()
    }
}
