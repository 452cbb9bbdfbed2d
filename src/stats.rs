//! Counters of event streams: [`Stats`] and its snapshots.

use std::fmt::{self, Display, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex};
use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::connection::{CloseReason, CloseReport};
use crate::{lock::lock, sparse::spare_capacity};

/// Counters of event streams, for a `/metrics` route or a health check.
///
/// Pass a `Stats` to [`SseLayer::stats`](crate::SseLayer::stats) to count the streams of that layer
/// and its clones. Several layers can share one `Stats`. Clones of a `Stats` share its counters.
///
/// Each stream counts its own frames and bytes. It adds them to the shared counters at least every
/// 64 KiB, at each heartbeat, and when it closes. The counters lag by less than 64 KiB per open
/// stream.
///
/// [`prometheus`](StatsSnapshot::prometheus) returns a snapshot as metrics in Prometheus' text
/// format. [`HubStats`](crate::hub::HubStats), [`RunsStats`](crate::runs::RunsStats) and
/// [`StreamsStats`](crate::streams::StreamsStats) also have a method `prometheus`. This is a
/// complete `/metrics` route:
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "hub"))] {
/// use axum::{Router, routing::get};
/// use tower_sse::{hub::Hub, stats::Stats};
///
/// # fn routes(stats: Stats, hub: Hub) -> Router {
/// # let router: Router =
/// Router::new().route("/metrics", get(async move || {
///     format!("{}{}", stats.snapshot().prometheus(), hub.stats().prometheus())
/// }))
/// # ; router }
/// # _ = routes;
/// # }
/// ```
///
/// The format's content type is `text/plain; version=0.0.4`, but Prometheus also accepts the
/// `text/plain` that axum sends.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    ages: Mutex<Ages>,
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    refused: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    heartbeats: AtomicU64,
    /// The labels, in the order of their first use: at most [`MAX_LABELS`] plus [`OTHER`].
    labels: Mutex<Vec<Labelled>>,
}

/// The ages of the open streams, to within a second.
#[derive(Debug)]
struct Ages {
    since: Instant,
    /// The seconds after `since`, in ascending order, each with the number of open streams that
    /// opened in that second. A map would allocate for the first stream.
    openings: VecDeque<(u64, u64)>,
}

impl Default for Ages {
    fn default() -> Self {
        Self { since: Instant::now(), openings: VecDeque::with_capacity(8) }
    }
}

impl Ages {
    fn add(&mut self, opened_at: Instant) {
        let second = self.second_of(opened_at);
        match self.find(second) {
            Ok(at) => {
                if let Some((_, open)) = self.openings.get_mut(at) {
                    *open += 1;
                }
            }
            Err(at) => self.openings.insert(at, (second, 1)),
        }
    }

    fn remove(&mut self, opened_at: Instant) {
        let Ok(at) = self.find(self.second_of(opened_at)) else { return };
        let Some((_, open)) = self.openings.get_mut(at) else { return };
        *open -= 1;
        if *open == 0 {
            self.openings.remove(at);
            if let Some(capacity) = spare_capacity(self.openings.len(), self.openings.capacity()) {
                self.openings.shrink_to(capacity);
            }
        }
    }

    fn oldest(&self) -> Option<Duration> {
        let (second, _) = self.openings.front()?;
        Some(self.since.elapsed().saturating_sub(Duration::from_secs(*second)))
    }

    fn find(&self, second: u64) -> Result<usize, usize> {
        self.openings.binary_search_by_key(&second, |(other, _)| *other)
    }

    fn second_of(&self, opened_at: Instant) -> u64 {
        opened_at.saturating_duration_since(self.since).as_secs()
    }
}

#[derive(Debug)]
struct Labelled {
    label: Arc<str>,
    open: u64,
    opened: u64,
}

const MAX_LABELS: usize = 100;
/// The label that replaces all labels after the first [`MAX_LABELS`].
const OTHER: &str = "other";

impl Stats {
    /// Creates counters that are all zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the current values of the counters. A stream that closes during the call may still
    /// count as open.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let counters = &*self.counters;
        // Read before `opened`, so that a snapshot counts every closed stream as opened too.
        let closed = counters.closed.iter().map(|closed| closed.load(Acquire));
        let closed_by_reason: Vec<_> = CloseReason::ALL.iter().copied().zip(closed).collect();
        let closed = closed_by_reason.iter().map(|(_, closed)| closed).sum();
        let opened = load(&counters.opened);
        let labels = lock(&counters.labels);
        StatsSnapshot {
            oldest_age: lock(&counters.ages).oldest(),
            open: opened.saturating_sub(closed),
            opened,
            closed,
            closed_by_reason,
            refused: load(&counters.refused),
            frames: load(&counters.frames),
            bytes: load(&counters.bytes),
            heartbeats: load(&counters.heartbeats),
            open_by_label: labels.iter().map(|it| (it.label.clone(), it.open)).collect(),
            opened_by_label: labels.iter().map(|it| (it.label.clone(), it.opened)).collect(),
        }
    }

    pub(crate) fn opened(&self, at: Instant, label: Option<&Arc<str>>) {
        self.counters.opened.fetch_add(1, Relaxed);
        lock(&self.counters.ages).add(at);
        if let Some(label) = label {
            self.count_labelled(label, |streams| {
                streams.open += 1;
                streams.opened += 1;
            });
        }
    }

    /// Calls `count` with the counters of `label`, or of [`OTHER`] if there are too many labels.
    fn count_labelled(&self, label: &Arc<str>, count: impl FnOnce(&mut Labelled)) {
        let mut labels = lock(&self.counters.labels);
        let is_known = |label: &str| labels.iter().position(|known| *known.label == *label);
        let known =
            is_known(label).or_else(|| (labels.len() >= MAX_LABELS).then(|| is_known(OTHER))?);
        if let Some(streams) = known.and_then(|at| labels.get_mut(at)) {
            count(streams);
            return;
        }
        let label = if labels.len() < MAX_LABELS { label.clone() } else { OTHER.into() };
        let mut streams = Labelled { label, open: 0, opened: 0 };
        count(&mut streams);
        labels.push(streams);
    }

    pub(crate) fn refused(&self) {
        self.counters.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent(&self, frames: u64, bytes: u64, heartbeats: u64) {
        self.counters.frames.fetch_add(frames, Relaxed);
        self.counters.bytes.fetch_add(bytes, Relaxed);
        self.counters.heartbeats.fetch_add(heartbeats, Relaxed);
    }

    pub(crate) fn closed(&self, opened_at: Instant, report: &CloseReport) {
        lock(&self.counters.ages).remove(opened_at);
        if let Some(counter) = self.counters.closed.get(report.reason as usize) {
            counter.fetch_add(1, Release);
        }
        if let Some(label) = &report.label {
            self.count_labelled(label, |streams| streams.open = streams.open.saturating_sub(1));
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// A snapshot of [`Stats`].
///
/// The documentation of each field gives the field's name in [`prometheus`](Self::prometheus). Each
/// process counts its own streams: add the values up, except for `oldest_age`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// The number of streams that are open: `sse_streams_open`.
    pub open: u64,
    /// The age of the oldest open stream, to within a second: `sse_streams_oldest_age_seconds`, 0
    /// if no stream is open. Across processes, take the maximum. If a stream is much older than its
    /// [maximum age](crate::SseLayer::max_age) plus jitter and grace period, the server has
    /// stopped polling it, usually because the client doesn't read.
    pub oldest_age: Option<Duration>,
    /// The total number of streams that were opened, including reconnections and streams that have
    /// closed: `sse_streams_opened_total`.
    pub opened: u64,
    /// The number of streams that have closed: the sum of `sse_streams_closed_total`.
    pub closed: u64,
    /// How many streams have closed for each reason, including reasons with a count of zero:
    /// `sse_streams_closed_total` with the label `reason`.
    pub closed_by_reason: Vec<(CloseReason, u64)>,
    /// The number of [refused](crate::Refusal#what-is-refused) streams, including those that a
    /// handler or middleware inside the layer refuses with
    /// [`Refusal::answer`](crate::Refusal::answer): `sse_streams_refused_total`. Refusals by
    /// [runs](crate::runs) and refusals after an early head don't count.
    pub refused: u64,
    /// The number of data frames that were passed to the server: `sse_frames_total`.
    pub frames: u64,
    /// The number of bytes in the data frames, before any compression outside the layer:
    /// `sse_bytes_total`.
    pub bytes: u64,
    /// The number of frames that were heartbeats: `sse_heartbeats_total`.
    pub heartbeats: u64,
    /// The number of open streams with each [label](crate::SseLayer::label), in the order in which
    /// the labels were first seen: `sse_label_streams_open` with the label `label`.
    pub open_by_label: Vec<(Arc<str>, u64)>,
    /// The total number of streams that were opened with each label, in the same order:
    /// `sse_label_streams_opened_total` with the label `label`.
    pub opened_by_label: Vec<(Arc<str>, u64)>,
}

impl StatsSnapshot {
    /// Returns the counters as metrics in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> impl Display + use<> {
        let oldest = self.oldest_age.unwrap_or_default().as_secs();
        let closed =
            self.closed_by_reason.iter().map(|(reason, closed)| (reason.as_str(), *closed));
        let help = "Streams that have closed, by reason.";
        let metrics = Metrics::default()
            .gauge("sse_streams_open", "Streams that are open.", self.open)
            .gauge("sse_streams_oldest_age_seconds", "Age of the oldest open stream.", oldest)
            .counter("sse_streams_opened_total", "Streams that were opened.", self.opened)
            .labelled("counter", "sse_streams_closed_total", help, "reason", closed)
            .counter("sse_streams_refused_total", "Streams that were refused.", self.refused)
            .counter("sse_frames_total", "Frames of data that were sent.", self.frames)
            .counter("sse_bytes_total", "Bytes that were sent.", self.bytes)
            .counter("sse_heartbeats_total", "Frames that were heartbeats.", self.heartbeats);
        if self.open_by_label.is_empty() {
            return metrics;
        }
        let help = "Streams that are open, by label.";
        let open = self.open_by_label.iter().map(|(label, open)| (&**label, *open));
        let metrics = metrics.labelled("gauge", "sse_label_streams_open", help, "label", open);
        let help = "Streams that were opened, by label.";
        let opened = self.opened_by_label.iter().map(|(label, opened)| (&**label, *opened));
        metrics.labelled("counter", "sse_label_streams_opened_total", help, "label", opened)
    }
}

/// Metrics in Prometheus' text format.
#[derive(Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Adds a counter, whose name should end with `_total`.
    pub(crate) fn counter(self, name: &str, help: &str, count: u64) -> Self {
        self.metric("counter", name, help, [(String::new(), count)])
    }

    pub(crate) fn gauge(self, name: &str, help: &str, value: impl Display) -> Self {
        self.metric("gauge", name, help, [(String::new(), value)])
    }

    /// Adds a metric with a sample for each value of a label.
    pub(crate) fn labelled<'v>(
        self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        samples: impl Iterator<Item = (&'v str, u64)>,
    ) -> Self {
        let samples = samples.map(|(value, count)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            (format!("{{{label}=\"{value}\"}}"), count)
        });
        self.metric(kind, name, help, samples)
    }

    fn metric(
        mut self,
        kind: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, impl Display)>,
    ) -> Self {
        // Writing into a `String` never fails.
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (label, value) in samples {
            _ = writeln!(self.0, "{name}{label} {value}");
        }
        self
    }
}

impl Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
