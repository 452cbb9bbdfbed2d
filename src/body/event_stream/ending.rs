use std::task::Context;

use bytes::Bytes;
use http::HeaderMap;

use super::{EventStream, Phase};
use crate::{
    BoxError,
    body::{LastFrames, deadline::Verdict},
    connection::CloseReason,
    signals::{Stopped, is_within_recorder},
};

/// The last bytes of a failing stream. A server that drops them has taken all bytes before them.
const COMMENT_LINE: Bytes = Bytes::from_static(b":\n");

/// The decision whether a stream must end now, and the ways in which it enters its last phase.
impl<B> EventStream<'_, B> {
    /// Returns whether the deadline requires the stream to end at this point.
    pub(super) fn must_be_cut_now(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(self.state.phase, Phase::Open | Phase::Holding(_))
            && matches!(self.check_deadline(cx), Verdict::EndNow(_))
    }

    /// Returns what the deadline requires at this point of the stream.
    #[inline]
    pub(super) fn check_deadline(&mut self, cx: &mut Context<'_>) -> Verdict {
        let this = self.state();
        let Some(deadline) = this.deadline.as_mut() else {
            return Verdict::Continue;
        };
        match deadline.check(this.options, cx) {
            Verdict::EndBetweenEvents(reason)
                if this.boundary.is_opaque() || this.boundary.between_events() =>
            {
                Verdict::EndNow(reason)
            }
            // The held bytes may complete the current event, so they are sent first.
            Verdict::EndNow(reason)
                if matches!(this.phase, Phase::Holding(_)) && !this.boundary.is_opaque() =>
            {
                if this.boundary.between_events() {
                    Verdict::EndNow(reason)
                } else {
                    Verdict::EndBetweenEvents(reason)
                }
            }
            verdict => verdict,
        }
    }

    /// Ends the stream at its source's clean end.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) {
        let this = self.state();
        let last = match this.options.terminator() {
            Some(terminator) if this.boundary.between_events() => {
                this.boundary.interject(terminator)
            }
            _ => Bytes::new(),
        };
        self.begin_ending(LastFrames::own(last, trailers));
    }

    /// Ends the stream because its source failed.
    pub(super) fn fail(&mut self, error: BoxError) {
        let this = self.state();
        // A run takes a clean end for the end of the answer.
        let is_recorded = is_within_recorder();
        if Stopped::is_cause_of(&*error) && this.boundary.between_events() && !is_recorded {
            self.begin_ending(LastFrames::clean(CloseReason::Cancelled, Bytes::new()));
            return;
        }
        let is_cancellation = this.options.is_cancellation(&error);
        // Mid-event every error fails the body, because some clients dispatch an incomplete event
        // after a clean end. In a content coding the layer cannot see where events end.
        let between_events = this.boundary.between_events();
        let ending = if is_cancellation {
            debug!(error = %error, "the source of an event stream was cancelled");
            let is_clean = this.client.reconnects_after_clean_end() && !is_recorded;
            if between_events && is_clean {
                LastFrames::clean(CloseReason::Cancelled, Bytes::new())
            } else {
                LastFrames::failure(CloseReason::Cancelled, self.last_line(), error)
            }
        } else if between_events && let Some(event) = this.options.event_for(&error) {
            let event = this.boundary.interject(&event);
            if is_recorded {
                LastFrames::failure(CloseReason::Failed, event, error)
            } else {
                LastFrames::clean(CloseReason::Failed, event)
            }
        } else {
            LastFrames::failure(CloseReason::Failed, self.last_line(), error)
        };
        self.begin_ending(ending);
    }

    /// Returns a comment line for a failure that sends nothing else, and no bytes mid-line.
    fn last_line(&mut self) -> Bytes {
        let this = self.state();
        if !this.boundary.at_line_start() {
            return Bytes::new();
        }
        this.boundary.interject(&COMMENT_LINE)
    }

    /// Ends the stream before its source has ended.
    pub(super) fn cut(&mut self, reason: CloseReason) {
        let this = self.state();
        let between_events = this.boundary.between_events();
        let is_for_all = this.deadline.as_ref().is_some_and(|deadline| deadline.is_for_all());
        let lines = match reason {
            CloseReason::Drained if between_events => this.options.goodbye(),
            // A `retry` line belongs to no event, so it can be written mid-event.
            CloseReason::Drained if this.boundary.at_line_start() => {
                this.options.reconnection_time()
            }
            CloseReason::Revoked if is_for_all && this.boundary.at_line_start() => {
                this.options.reconnection_time()
            }
            _ => Bytes::new(),
        };
        let last = if lines.is_empty() { lines } else { this.boundary.interject(&lines) };
        let is_clean = !this.client.is_cut_by_failing() && !is_within_recorder();
        let ending = if between_events && is_clean {
            LastFrames::clean(reason, last)
        } else {
            let last = if last.is_empty() { self.last_line() } else { last };
            LastFrames::cut_short(reason, last)
        };
        self.begin_ending(ending);
    }

    /// Drops the source and enters the last phase.
    ///
    /// The source is not kept until the body is dropped, because it may hold a guard, a permit or a
    /// cursor.
    fn begin_ending(&mut self, ending: LastFrames) {
        let state = self.state.as_mut().project();
        // The body may be dropped before it is polled again.
        if let Some(reason) = ending.reason() {
            state.record.reason = reason;
        }
        state.record.stop_awaiting_event();
        // Set the phase first: dropping the source may panic.
        *state.phase = Phase::Ending(ending);
        *state.deadline = None;
        state.record.reason.noting_panic(|| self.source.set(None));
    }
}
