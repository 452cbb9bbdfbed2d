use std::{mem, sync::Arc, thread, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::callback::{Opaque, catch_panic};
use crate::connection::{CloseReason, CloseReport, DisconnectGuard};
use crate::options::{OnOpen, ResolvedOptions};
use crate::stats::Stats;

/// The number of bytes after which a stream updates the shared counters, even without a heartbeat.
const STATS_STEP: u64 = 64 * 1024;

/// The record of one open stream. It makes exactly one close report, on every exit path.
// `repr(C)` puts the fields that each event needs at the end, next to those of `StreamState`.
#[repr(C)]
pub(crate) struct StreamRecord {
    /// `None` once the stream has closed.
    stream: Option<OpenStream>,
    /// The bytes, frames and heartbeats since the last update of the shared counters. A flag is
    /// enough for the heartbeats, because each heartbeat updates the counters.
    bytes: u64,
    frames: u32,
    has_heartbeat: bool,
    /// The reason to report if the stream is dropped now without a panic.
    pub(crate) reason: CloseReason,
    /// Whether to update the shared counters after the next data frame, which can be a heartbeat.
    stats_due: bool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    heartbeats: u64,
    frames: u64,
    bytes: u64,
}

struct OpenStream {
    opened_at: Instant,
    /// The counts that have been added to `stats`.
    in_stats: Counts,
    stats: Stats,
    /// The `on_close` closures of these options are called at the close.
    options: Arc<ResolvedOptions>,
    disconnect: Option<DisconnectGuard>,
    permit: Option<OwnedSemaphorePermit>,
    observation: Option<Box<Observation>>,
    /// The request's span, in which the close is logged and `on_close` is called.
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl StreamRecord {
    pub(crate) fn open(
        stats: Stats,
        on_open: &[OnOpen],
        options: Arc<ResolvedOptions>,
        disconnect: Option<DisconnectGuard>,
        permit: Option<OwnedSemaphorePermit>,
        observation: Option<Box<Observation>>,
    ) -> Self {
        let opened_at = Instant::now();
        stats.opened(opened_at, observation.as_ref().and_then(|observed| observed.label.as_ref()));
        for Opaque(callback) in on_open {
            _ = catch_panic(|| callback());
        }
        let awaits_event = observation.as_ref().is_some_and(|observed| observed.awaits_event);
        let stream = OpenStream {
            opened_at,
            in_stats: Counts::default(),
            stats,
            options,
            disconnect,
            permit,
            observation,
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        };
        Self {
            bytes: 0,
            frames: 0,
            has_heartbeat: false,
            reason: CloseReason::Disconnected,
            stats_due: awaits_event,
            stream: Some(stream),
        }
    }

    /// Sets the options whose `on_close` closures are called at the close.
    #[cold]
    pub(super) fn set_options(&mut self, options: &Arc<ResolvedOptions>) {
        if let Some(stream) = self.stream.as_mut() {
            stream.options = Arc::clone(options);
        }
    }

    pub(super) fn count_frame(&mut self, data: &[u8]) {
        self.frames += 1;
        self.bytes += data.len() as u64;
        // All streams share the counters, so writing to them for each event would slow all streams
        // down.
        if mem::take(&mut self.stats_due) || self.bytes >= STATS_STEP {
            self.update_stats();
            self.await_event(|observation| observation.note_data(data));
        }
    }

    pub(super) fn expect_own_event(&mut self) {
        self.await_event(|observation| observation.skips_frame = true);
    }

    #[cold]
    pub(super) fn stop_awaiting_event(&mut self) {
        self.await_event(|observation| observation.awaits_event = false);
    }

    fn await_event(&mut self, note: impl FnOnce(&mut Observation)) {
        let stream = self.stream.as_mut();
        if let Some(observation) = stream.and_then(|stream| stream.observation.as_mut())
            && observation.awaits_event
        {
            note(observation);
            self.stats_due |= observation.awaits_event;
        }
    }

    pub(crate) fn note_head(&mut self) {
        let stream = self.stream.as_mut();
        if let Some(observation) = stream.and_then(|stream| stream.observation.as_mut()) {
            observation.note_head();
        }
    }

    pub(super) const fn count_heartbeat(&mut self) {
        self.has_heartbeat = true;
        self.stats_due = true;
    }

    pub(super) fn set_reason_if_dropped(&mut self, reason: CloseReason) {
        if self.reason == CloseReason::Disconnected && !thread::panicking() {
            self.reason = reason;
        }
    }

    fn update_stats(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        let frames = u64::from(mem::take(&mut self.frames));
        let heartbeats = u64::from(mem::take(&mut self.has_heartbeat));
        if let Some(stream) = self.stream.as_mut() {
            stream.stats.sent(frames, bytes, heartbeats);
            stream.in_stats.frames += frames;
            stream.in_stats.bytes += bytes;
            stream.in_stats.heartbeats += heartbeats;
        }
    }

    pub(super) fn close(&mut self) {
        self.update_stats();
        if let Some(stream) = self.stream.take() {
            stream.close(self.reason);
        }
    }
}

impl OpenStream {
    fn close(mut self, reason: CloseReason) {
        drop(self.permit.take());
        let Counts { frames, bytes, heartbeats } = self.in_stats;
        let age = self.opened_at.elapsed();
        let observation = self.observation.take().map(|observation| *observation);
        let Observation { label, time_to_head, time_to_first_event, .. } =
            observation.unwrap_or_default();
        let report = CloseReport {
            reason,
            age,
            frames,
            bytes,
            heartbeats,
            label,
            time_to_head,
            time_to_first_event,
        };
        self.stats.closed(self.opened_at, &report);
        #[cfg(feature = "tracing")]
        let _span = self.span.enter();
        // A `tracing` subscriber is the program's code too, and may panic.
        _ = catch_panic(|| {
            debug!(
                reason = reason.as_str(),
                age = ?age,
                frames,
                bytes,
                heartbeats,
                "an event stream closed"
            );
        });
        drop(self.disconnect.take());
        if let Some(on_close) = &self.options.merged.on_close {
            _ = catch_panic(|| on_close(&report));
        }
    }
}

impl Drop for StreamRecord {
    fn drop(&mut self) {
        if self.reason == CloseReason::Disconnected && thread::panicking() {
            self.reason = CloseReason::Panicked;
        }
        self.close();
    }
}

/// The facts about a stream that its label and its timings need.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    pub(super) label: Option<Arc<str>>,
    arrived: Option<Instant>,
    pub(super) time_to_head: Option<Duration>,
    pub(super) time_to_first_event: Option<Duration>,
    awaits_event: bool,
    /// Whether the next data frame has no event of the source.
    skips_frame: bool,
    /// Whether the bytes so far end within a comment or `retry` line.
    in_other_line: bool,
}

impl Observation {
    pub(crate) fn new(label: Option<Arc<str>>, has_timings: bool) -> Self {
        Self {
            label,
            arrived: has_timings.then(Instant::now),
            awaits_event: has_timings,
            ..Self::default()
        }
    }

    pub(crate) fn note_head(&mut self) {
        self.time_to_head = self.arrived.map(|arrived| arrived.elapsed());
    }

    /// Notes the source's first event if it begins in `data`.
    fn note_data(&mut self, data: &[u8]) {
        if mem::take(&mut self.skips_frame) {
            return;
        }
        let lines = data.split(|byte| matches!(byte, b'\n' | b'\r'));
        let is_other =
            |line: &[u8]| line.is_empty() || line.starts_with(b":") || line.starts_with(b"retry:");
        if lines.skip(usize::from(self.in_other_line)).all(is_other) {
            self.in_other_line =
                data.last().map_or(self.in_other_line, |last| !matches!(last, b'\n' | b'\r'));
        } else {
            self.awaits_event = false;
            self.time_to_first_event = self.arrived.map(|arrived| arrived.elapsed());
        }
    }
}
