use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Label;

/// What [`SseLayer::label`](crate::SseLayer::label) and [`SseLayer::timings`](crate::SseLayer::timings)
/// note about a stream.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    pub(super) label: Option<Label>,
    /// The time at which the request arrived, if times are noted.
    arrived: Option<Instant>,
    pub(super) time_to_head: Option<Duration>,
    pub(super) time_to_first_event: Option<Duration>,
    /// Whether the first event is still awaited.
    awaits_event: bool,
    /// Whether the bytes so far end within a comment or `retry` line.
    in_other_line: bool,
}

impl Observation {
    /// Begins to observe the answer to a request that has just arrived.
    pub(crate) fn new(label: Option<Label>, has_timings: bool) -> Self {
        Self {
            label,
            arrived: has_timings.then(Instant::now),
            awaits_event: has_timings,
            ..Self::default()
        }
    }

    pub(super) const fn awaits_event(&self) -> bool {
        self.awaits_event
    }

    /// Notes that the response head is known.
    pub(crate) fn note_head(&mut self) {
        self.time_to_head = self.arrived.map(|arrived| arrived.elapsed());
    }

    /// Notes the first event if it begins in `data`: the first line that is neither empty, nor a
    /// comment, nor a reconnection time. The layer writes no other lines while a stream is open.
    pub(super) fn note_data(&mut self, data: &[u8]) {
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

    /// Notes that the stream ends: what follows are the last frames of the layer.
    pub(super) const fn stop_awaiting(&mut self) {
        self.awaits_event = false;
    }
}
