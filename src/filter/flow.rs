use std::mem;

use bytes::Bytes;
use http::Response;

use super::{EventFilter, Outcome, SourceEnd, Verdict, guard::FilterGuard, output::Output};
use crate::{BoxError, Encoded, EventRef, Piece};

/// The number of bytes without an event for which a head is held.
const MAX_HELD: u64 = 16 << 10;

/// A filter, and what its verdicts have made of the stream so far.
pub(super) struct Flow<F: EventFilter> {
    pub(super) guard: FilterGuard<F>,
    /// The source is still to be read.
    pub(super) is_open: bool,
    /// The error that follows what has been sent.
    pub(super) error: Option<BoxError>,
    /// The response that takes the place of the stream.
    pub(super) rejected: Option<Box<Response<Bytes>>>,
    /// A rejection is still possible.
    pub(super) holds_head: bool,
    /// An event passes that is rejected when that is no longer possible.
    pub(super) pass_rejected: bool,
    /// Bytes of an event have been sent.
    has_sent_event: bool,
    /// The number of bytes between events that have passed.
    between: u64,
    /// The last byte that was sent is a CR. Its LF may be missing.
    pub(super) ends_in_cr: bool,
    /// A verdict has ended the stream, so that nothing of the source follows.
    pub(super) is_stopped: bool,
    /// The first event has not been sent, and nothing was sent before it.
    starts_late: bool,
    /// The last event has not been sent, and ended in a CR. An LF that follows belongs to it.
    skips_lf: bool,
}

impl<F: EventFilter> Flow<F> {
    pub(super) const fn new(guard: FilterGuard<F>) -> Self {
        Self {
            guard,
            is_open: true,
            error: None,
            rejected: None,
            holds_head: false,
            pass_rejected: false,
            has_sent_event: false,
            between: 0,
            ends_in_cr: false,
            is_stopped: false,
            starts_late: false,
            skips_lf: false,
        }
    }

    /// Returns what is sent for an event, and whether the event itself follows; `None` if it passes.
    #[inline]
    pub(super) fn event(&mut self, event: EventRef<'_>) -> Option<(Encoded, bool)> {
        let verdict = self.guard.event(event);
        if matches!(verdict, Verdict::Pass) {
            // Dropping it would be a call.
            mem::forget(verdict);
            return None;
        }
        Some(self.apply(verdict, Outcome::Stopped))
    }

    /// Returns the same for the event in whose middle the source has ended.
    pub(super) fn tail(&mut self, event: EventRef<'_>) -> (Encoded, bool) {
        let verdict = self.guard.event(event);
        self.apply(verdict, Outcome::MidEvent)
    }

    /// Returns whether the head of the response is sent, so that it can no longer be rejected. It
    /// does not depend on where frames end.
    pub(super) const fn releases_head(&self) -> bool {
        !self.holds_head || self.has_sent_event || self.between >= MAX_HELD
    }

    /// Sends a piece of a frame, which ends at `end`, or what takes its place.
    #[inline]
    pub(super) fn piece(&mut self, piece: Piece<'_>, end: usize, output: &mut Output<'_>) {
        let mut bytes = piece.as_bytes();
        match piece {
            Piece::Event(event) => {
                self.skips_lf = false;
                if let Some((events, passes)) = self.event(event) {
                    if !events.as_bytes().is_empty() {
                        output.put(events.as_bytes());
                        self.has_sent_event = true;
                    }
                    if !passes {
                        self.skips_lf = bytes.ends_with(b"\r");
                        self.starts_late |= output.is_empty();
                        return;
                    }
                }
                self.has_sent_event = true;
            }
            Piece::Oversized(_) => {
                self.skips_lf = false;
                self.has_sent_event = true;
            }
            Piece::Between(_) | Piece::Comment(_) => {
                let skips_lf = mem::take(&mut self.skips_lf);
                bytes = bytes.strip_prefix(b"\n").filter(|_| skips_lf).unwrap_or(bytes);
                self.between += bytes.len() as u64;
            }
        }
        output.pass(bytes, end);
    }

    /// Returns what is sent at the end of the source, before the end itself.
    pub(super) fn source_end(&mut self, is_mid_event: bool, error: Option<BoxError>) -> Encoded {
        let (end, outcome) = match &error {
            Some(error) => (SourceEnd::Failed(error), Outcome::Failed),
            None if is_mid_event => (SourceEnd::MidEvent, Outcome::MidEvent),
            None => (SourceEnd::Clean, Outcome::Completed),
        };
        let verdict = match self.guard.source_end(end) {
            Verdict::End(events) => Verdict::Replace(events),
            verdict => verdict,
        };
        let stopped = if outcome == Outcome::Completed { Outcome::Stopped } else { outcome };
        let (events, passes) = self.apply(verdict, stopped);
        if self.is_open {
            self.end(outcome, error.filter(|_| passes));
        }
        events
    }

    /// Returns what is sent by this verdict, and whether what it is about follows.
    fn apply(&mut self, verdict: Verdict, outcome: Outcome) -> (Encoded, bool) {
        match verdict {
            Verdict::Pass => return (Encoded::default(), true),
            Verdict::Drop => {}
            Verdict::Replace(events) => return (events, false),
            Verdict::Insert(events) => return (events, true),
            Verdict::End(events) => {
                self.stop(outcome, None);
                return (events, false);
            }
            Verdict::Fail(error) => self.stop(outcome, Some(error)),
            Verdict::Reject(response) if !self.releases_head() => {
                self.rejected = Some(response);
                self.stop(outcome, None);
            }
            Verdict::Reject(_) if self.pass_rejected => return (Encoded::default(), true),
            Verdict::Reject(_) => {
                let error = "event stream rejected after the head of its response";
                self.stop(outcome, Some(error.into()));
            }
        }
        (Encoded::default(), false)
    }

    /// Ends the stream by a verdict, behind what is sent now.
    fn stop(&mut self, outcome: Outcome, error: Option<BoxError>) {
        self.is_stopped = true;
        self.end(outcome, error);
    }

    /// Ends the stream behind what is sent now.
    pub(super) fn end(&mut self, outcome: Outcome, error: Option<BoxError>) {
        self.is_open = false;
        self.error = error;
        self.guard.report.outcome = outcome;
    }

    /// Returns the bytes that are sent, or the error if nothing is sent before it. Reports the end.
    #[inline]
    pub(super) fn send(&mut self, mut bytes: Bytes) -> Result<Bytes, BoxError> {
        if self.starts_late && self.guard.report.bytes_sent == 0 && bytes.starts_with(b"\xef") {
            // As the first bytes of a stream, a byte order mark would be ignored, and the event that
            // begins with it would be another one. Behind an empty line it is not.
            bytes = [b"\n", &bytes[..]].concat().into();
        }
        self.guard.report.bytes_sent += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.ends_in_cr = *last == b'\r';
        }
        if !self.is_open {
            self.guard.end(self.guard.report.outcome);
            if let Some(error) = self.error.take_if(|_| bytes.is_empty()) {
                return Err(error);
            }
        }
        Ok(bytes)
    }
}
