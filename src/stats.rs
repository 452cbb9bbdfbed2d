use std::{
    array, fmt,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crate::{
    connection::{CloseReason, CloseReport, Label},
    lock::lock,
    prometheus::{Escaped, counter, gauge, labelled_counter, labelled_gauge},
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
    /// In the order in which they were first seen, and at most [`MAX_LABELS`] and [`OTHER`].
    labels: Mutex<Vec<LabelCounts>>,
}

/// The streams with one label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelCounts {
    label: Label,
    opened: u64,
    closed: u64,
}

/// The maximum number of labels that are counted.
const MAX_LABELS: usize = 100;
/// The label of all streams with further labels.
const OTHER: Label = Label::from_static("other");

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
            labels: lock(&counters.labels).clone(),
        }
    }

    pub(crate) fn opened(&self, label: Option<&Label>) {
        self.counters.opened.fetch_add(1, Relaxed);
        if let Some(label) = label {
            self.count_labelled(label, |counts| counts.opened += 1);
        }
    }

    /// Counts a stream with a label, or as one of the others if there are too many labels.
    fn count_labelled(&self, label: &Label, count: impl FnOnce(&mut LabelCounts)) {
        let mut labels = lock(&self.counters.labels);
        let is_known = |label: &Label| labels.iter().position(|counts| counts.label == *label);
        let known =
            is_known(label).or_else(|| (labels.len() >= MAX_LABELS).then(|| is_known(&OTHER))?);
        if let Some(counts) = known.and_then(|at| labels.get_mut(at)) {
            count(counts);
            return;
        }
        let label = if labels.len() < MAX_LABELS { label.clone() } else { OTHER };
        let mut counts = LabelCounts { label, opened: 0, closed: 0 };
        count(&mut counts);
        labels.push(counts);
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
        if let Some(label) = &report.label {
            self.count_labelled(label, |counts| counts.closed += 1);
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
    labels: Vec<LabelCounts>,
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

    /// Returns the number of streams that were [refused](crate::Refusal#what-is-refused): at a
    /// limit, after the [shutdown](crate::SseLayer::shutdown) began, or by the program inside the
    /// layer, with [`Refusal::answer`](crate::Refusal::answer).
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the number of open streams with each [label](crate::SseLayer::label), and how many
    /// were opened, in the order in which the labels were first seen. The first 100 labels are
    /// counted. Streams with any other label count as `other`.
    #[must_use]
    pub fn by_label(&self) -> impl ExactSizeIterator<Item = (&str, LabelStats)> {
        self.labels.iter().map(|counts| {
            let LabelCounts { label, opened, closed } = counts;
            (label.as_str(), LabelStats { open: opened.saturating_sub(*closed), opened: *opened })
        })
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
        counter(f, "sse_heartbeats_total", "Frames that were heartbeats.", self.heartbeats)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let (name, help) = ("sse_label_streams_open", "Streams that are open, by label.");
        let open = self.by_label().map(|(label, counts)| (Escaped(label), counts.open));
        labelled_gauge(f, name, help, "label", open)?;
        let (name, help) =
            ("sse_label_streams_opened_total", "Streams that were opened, by label.");
        let opened = self.by_label().map(|(label, counts)| (Escaped(label), counts.opened));
        labelled_counter(f, name, help, "label", opened)
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
            .field("labels", &self.labels)
            .finish()
    }
}

/// The streams with one [label](crate::SseLayer::label).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelStats {
    /// The number of streams that are open.
    pub open: u64,
    /// The number of streams that were opened.
    pub opened: u64,
}

/// Displays each reason with its number.
struct ClosedByReason([u64; CloseReason::ALL.len()]);

impl fmt::Debug for ClosedByReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(CloseReason::ALL.into_iter().zip(self.0)).finish()
    }
}
