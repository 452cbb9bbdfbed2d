//! The event stream inside an [`SseBody`](super::SseBody). It polls the source, adds heartbeats,
//! and decides when and how the stream ends. `opening.rs` adds the layer's first lines.

mod opening;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::task::coop;

use super::stream_state::{LARGEST_PIECE, SHORT_REST, note_own_retry};
use super::stream_state::{Polled, StateProj, StreamPhase, StreamState};
use super::{Deadline, LastFrames, boundary::note_id, deadline::DeadlineVerdict};
use crate::connection::{ClientKind, CloseReason};
use crate::exchange::LateEnd;
use crate::options::{COMMENT_LINE, with_id};
use crate::shutdown::ShutdownWait;
use crate::signals::within_layer;
use crate::{BoxError, coop::CoopBudget};

/// A source's event stream, and the lines that the layer writes between the source's bytes.
pub(super) struct EventStream<'p, B> {
    pub(super) source: Pin<&'p mut Option<B>>,
    pub(super) state: Pin<&'p mut StreamState>,
}

impl<'p, B> EventStream<'p, B> {
    /// Sets the close reason of a stream that the program has closed. Then drops what must be
    /// dropped before the state: dropping the state reports the close.
    pub(super) fn abandon(mut self) {
        let state = self.state();
        // A stream that the program has closed counts as revoked even if the server drops its body
        // before the end could be sent, usually because the client did not read.
        if state.deadline.as_ref().is_some_and(|deadline| deadline.is_revoked()) {
            state.record.set_reason_if_dropped(CloseReason::Revoked);
        }
        *state.deadline = None;
        *state.shutdown = None;
        self.source.set(None);
    }

    fn state(&mut self) -> StateProj<'_> {
        self.state.as_mut().project()
    }
}

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    #[inline]
    pub(super) fn poll_frame(mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        if self.is_quiet(cx)
            && let Some(polled) = self.poll_quiet(cx)
        {
            return polled;
        }
        *self.state().is_quiet = false;
        // Check the deadline even without budget: a task that spends all of it elsewhere would keep
        // the stream open past the shutdown.
        if CoopBudget::poll_ready(cx).is_pending() && !self.must_be_cut_now(cx) {
            return Poll::Pending;
        }
        let Poll::Ready(polled) = self.poll_phase(cx) else {
            self.note_quiet(cx);
            return Poll::Pending;
        };
        let this = self.state();
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.record.count_frame(data);
        }
        if let StreamPhase::Ending(ending) = this.phase {
            if let Some(reason) = ending.reason() {
                this.record.reason = reason;
            }
            if ending.is_over() {
                // Not earlier: until then, the stream keeps its places in the subjects' limits.
                *this.deadline = None;
                this.record.close();
            }
        }
        Poll::Ready(polled)
    }

    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            let this = self.state();
            match this.phase {
                StreamPhase::Beginning(..) => {
                    if let Some(preamble) = self.begin_stream(cx) {
                        return Poll::Ready(Some(Ok(preamble)));
                    }
                }
                StreamPhase::Open | StreamPhase::Holding(_) => {
                    if let Some(frame) = ready!(self.poll_open(cx)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                StreamPhase::Ending(ending) => {
                    return ending.poll_frame(this.deadline.as_deref_mut(), cx);
                }
            }
        }
    }

    /// Returns whether the source and the timer are all that this poll needs.
    #[inline]
    fn is_quiet(&self, cx: &Context<'_>) -> bool {
        self.state.is_quiet
            && self.state.idle.wakes(cx)
            && !self.state.shutdown.as_ref().is_some_and(ShutdownWait::has_begun)
    }

    fn note_quiet(&mut self, cx: &Context<'_>) {
        let this = self.state();
        *this.is_quiet = matches!(this.phase, StreamPhase::Open)
            && this.deadline.is_none()
            && this.id_line.is_none()
            && this.boundary.has_begun()
            && this.idle.wakes(cx)
            && this.shutdown.as_ref().is_none_or(|shutdown| shutdown.will_wake(cx.waker()));
    }

    /// Polls the source of a quiet stream. Returns `None` if the poll needs the whole state.
    #[inline]
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Option<Poll<Polled>> {
        if CoopBudget::poll_ready(cx).is_pending() {
            return Some(Poll::Pending);
        }
        let polled = self.poll_body(cx);
        let mut this = self.state();
        let held = match polled {
            Poll::Pending => return this.idle.is_running(cx).then_some(Poll::Pending),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.len() <= LARGEST_PIECE => {
                    let data = this.boundary.pass(data);
                    if !data.is_empty() {
                        this.budget.spend(cx, data.len());
                        this.idle.as_mut().reset();
                        this.record.count_frame(&data);
                        return Some(Poll::Ready(Some(Ok(Frame::data(data)))));
                    }
                    Some(Ok(Frame::data(data)))
                }
                Ok(data) => Some(Ok(Frame::data(data))),
                Err(frame) => Some(Ok(frame)),
            },
            Poll::Ready(last) => last,
        };
        *this.phase = StreamPhase::Holding(Box::new(held));
        None
    }

    #[inline(always)]
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        let phase = self.state().phase;
        if let StreamPhase::Holding(result) = phase {
            let result = result.take();
            *phase = StreamPhase::Open;
            return Poll::Ready(result);
        }
        self.poll_body(cx)
    }

    #[inline(always)]
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        let state = self.state.as_mut().project();
        let Some(source) = self.source.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = state.record.reason.noting_panic(|| within_layer(|| source.poll_frame(cx)));
        polled.map(|polled| polled.map(|frame| frame.map_err(Into::into)))
    }

    /// Returns the next frame of an open stream, or `None` once the stream is no longer open.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if self.has_late_answer()
                && let Some(start) = self.take_late_answer(cx)
            {
                return Poll::Ready(Some(start));
            }
            let is_ending = match self.check_deadline(cx) {
                DeadlineVerdict::Continue => false,
                DeadlineVerdict::EndBetweenEvents(_) => true,
                DeadlineVerdict::EndNow(reason) => {
                    self.cut(reason);
                    return Poll::Ready(None);
                }
            };
            // A page sees only events that it listens to, so other events, even if one is always
            // ready, don't delay the heartbeats that its watchdog expects.
            if self.state.beats_by_events()
                && let Poll::Ready(heartbeat) = self.poll_heartbeat(cx)
            {
                return Poll::Ready(Some(heartbeat));
            }
            let polled = self.poll_source(cx);
            if self.has_late_answer() {
                if let Poll::Ready(polled) = polled {
                    *self.state().phase = StreamPhase::Holding(Box::new(polled));
                }
                continue;
            }
            match polled {
                Poll::Pending if self.has_answered(cx) => {
                    self.cut(CloseReason::Answered);
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
                Poll::Ready(None) => {
                    self.end(None);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.fail(error);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        let data = self.pass(data, is_ending);
                        if !data.is_empty() {
                            self.state().budget.spend(cx, data.len());
                            self.note_sent();
                            return Poll::Ready(Some(Frame::data(data)));
                        }
                        if self.state().budget.poll_empty(cx).is_ready() {
                            continue;
                        }
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => {
                            self.end(Some(trailers));
                            return Poll::Ready(None);
                        }
                        Err(frame) => return Poll::Ready(Some(frame)),
                    },
                },
            }
            if let Some(heartbeat) = ready!(self.poll_timers(cx)) {
                return Poll::Ready(Some(heartbeat));
            }
        }
    }

    /// Returns the part of a source's frame to send now: about [`LARGEST_PIECE`] bytes, and if
    /// `is_ending`, only up to the first point between events. An opaque frame is sent whole.
    #[inline]
    fn pass(&mut self, mut data: Bytes, is_ending: bool) -> Bytes {
        let this = self.state();
        if data.len() > LARGEST_PIECE + SHORT_REST && !this.boundary.is_opaque {
            let rest = data.split_off(LARGEST_PIECE);
            *this.phase = StreamPhase::Holding(Box::new(Some(Ok(Frame::data(rest)))));
        }
        if !this.boundary.has_begun() {
            note_own_retry(this.options, &data);
        }
        let (is_start, boundary) = (this.boundary.at_line_start(), this.boundary);
        let data = if is_ending { boundary.pass_to_first_end(data) } else { boundary.pass(data) };
        if let Some(id_line) = this.id_line {
            note_id(id_line, &data, is_start);
        }
        data
    }

    fn note_sent(&mut self) {
        let has_event_heartbeats = self.state.beats_by_events();
        let this = self.state();
        if let Some(deadline) = this.deadline {
            deadline.note_data();
        }
        if !has_event_heartbeats {
            this.idle.reset();
        }
    }

    /// Returns a frame with the layer's `lines`. The stream must be at a line start.
    fn interject(&mut self, lines: Bytes) -> Frame<Bytes> {
        self.state().idle.reset();
        Frame::data(self.state().boundary.interject(lines))
    }
}

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Returns a due heartbeat once a line can be written, or `None` once the deadline must be
    /// checked again.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let this = self.state();
        if let Some(deadline) = this.deadline
            && deadline.poll_change(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        // Checked last: the end of the wait that spares the stream wakes this task.
        if let Some(shutdown) = this.shutdown
            && shutdown.poll_begun(cx.waker())
            && !this.deadline.as_ref().is_some_and(|deadline| deadline.is_spared())
        {
            return Poll::Ready(None);
        }
        self.poll_heartbeat(cx).map(Some)
    }

    /// Waits until a heartbeat is due and can be written. Returns its frame.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Frame<Bytes>> {
        let lines = ready!(self.poll_heartbeat_lines(cx));
        self.state().record.count_heartbeat();
        if self.state().boundary.between_events() {
            self.state().record.expect_own_event();
            return Poll::Ready(self.interject(lines));
        }
        self.state().idle.reset();
        Poll::Ready(Frame::data(self.state().boundary.interject_within_event(&lines)))
    }

    fn poll_heartbeat_lines(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut this = self.state();
        let (Some(heartbeat), Some(interval), false) =
            (this.options.heartbeat(), this.options.heartbeat_interval(), this.boundary.is_opaque)
        else {
            return Poll::Pending;
        };
        loop {
            ready!(this.idle.as_mut().poll_interval(cx, interval));
            if this.boundary.between_events() {
                return Poll::Ready(heartbeat.between_events(this.id_line.as_deref()));
            }
            if this.boundary.at_line_start() {
                return Poll::Ready(heartbeat.comment.clone());
            }
            // No line can be written mid-line, so this heartbeat is skipped.
        }
    }
}

/// Whether a stream must end now, and how it enters its last phase.
impl<B> EventStream<'_, B> {
    fn must_be_cut_now(&mut self, cx: &mut Context<'_>) -> bool {
        !matches!(self.state.phase, StreamPhase::Beginning(..) | StreamPhase::Ending(_))
            && matches!(self.check_deadline(cx), DeadlineVerdict::EndNow(_))
    }

    #[inline]
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> DeadlineVerdict {
        let verdict = self.verdict(cx);
        if verdict == DeadlineVerdict::Continue {
            return verdict;
        }
        let this = self.state();
        match verdict {
            DeadlineVerdict::EndBetweenEvents(reason)
                if this.boundary.is_opaque || this.boundary.between_events() =>
            {
                DeadlineVerdict::EndNow(reason)
            }
            // The held bytes may complete the current event, so they are sent first.
            DeadlineVerdict::EndNow(reason)
                if matches!(this.phase, StreamPhase::Holding(_))
                    && !(this.boundary.is_opaque || this.boundary.between_events()) =>
            {
                DeadlineVerdict::EndBetweenEvents(reason)
            }
            verdict => verdict,
        }
    }

    #[inline]
    fn verdict(&mut self, cx: &mut Context<'_>) -> DeadlineVerdict {
        let this = self.state();
        if this.shutdown.as_ref().is_some_and(ShutdownWait::has_begun)
            && !this.deadline.as_ref().is_some_and(|deadline| deadline.is_spared())
        {
            return self.drain(cx);
        }
        this.deadline.as_mut().map_or(DeadlineVerdict::Continue, |deadline| deadline.check(cx))
    }

    /// Returns whether the stream is a long poll that has sent all that was ready.
    fn has_answered(&mut self, cx: &Context<'_>) -> bool {
        let this = self.state();
        let has_answered = this.deadline.as_ref().is_some_and(|deadline| deadline.has_answered())
            && this.boundary.between_events();
        if has_answered && !coop::has_budget_remaining() {
            // Without budget, a source can be pending although more is ready. Not every source asks
            // to be polled again.
            cx.waker().wake_by_ref();
            return false;
        }
        has_answered
    }

    #[cold]
    fn drain(&mut self, cx: &mut Context<'_>) -> DeadlineVerdict {
        let this = self.state();
        let may_drain = this.deadline.as_ref().is_none_or(|deadline| deadline.may_drain());
        let at_end = this.boundary.is_opaque || this.boundary.between_events();
        if may_drain && at_end && this.options.drain().is_immediate(*this.client) {
            // No deadline is set here, because a shutdown would then set a timer for each stream.
            return DeadlineVerdict::EndNow(CloseReason::Drained);
        }
        *this.shutdown = None;
        let deadline = Deadline::or_new(this.deadline, *this.client);
        deadline.drain(this.options, cx);
        deadline.check(cx)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        let late = LastFrames::of_late(self.late_end(), self.state.options.is_recorded());
        let last = late.unwrap_or_else(|| {
            LastFrames::own(self.terminator(), trailers, self.state.boundary.is_opaque)
        });
        self.begin_ending(last);
    }

    fn late_end(&self) -> LateEnd {
        self.state.deadline.as_ref().map_or(LateEnd::Own, |deadline| deadline.late_end)
    }

    fn terminator(&mut self) -> Bytes {
        let this = self.state();
        let terminator = this.options.terminator(this.id_line.as_deref());
        let last = this.boundary.interject_event(terminator);
        self.or_retry(last)
    }

    /// Returns `last`, the last bytes of a clean end. If `last` is empty and the stream's last line
    /// is a comment, usually returns a `retry` line instead, because go-sse stops for good if a
    /// comment comes last.
    fn or_retry(&mut self, last: Bytes) -> Bytes {
        let this = self.state();
        if !last.is_empty() || !this.boundary.after_comment || !this.client.resumes() {
            return last;
        }
        let retry = this.options.first_retry(ClientKind::EventSource);
        let retry = retry.filter(|_| !this.options.is_recorded());
        retry.map(|retry| this.boundary.interject(retry.line())).unwrap_or_default()
    }

    fn fail(&mut self, error: BoxError) {
        if self.late_end().is_handled() {
            return self.begin_ending(LastFrames::of_inner(error));
        }
        let this = self.state();
        // A run that records the stream takes a clean end for the end of the answer, even if
        // another `SseLayer` is in between.
        let is_recorded = this.options.is_recorded();
        let between_events = this.boundary.between_events();
        let error = match LastFrames::of_stopped(error, is_recorded, between_events) {
            Ok(last) => return self.begin_ending(last),
            Err(error) => error,
        };
        // Mid-event, every other error fails the body, because some clients dispatch an incomplete
        // event after a clean end. In a content coding, the layer can't see where events end.
        let ending = if this.options.is_cancellation(&error) {
            debug!(error = %error, "the source of an event stream was cancelled");
            // A script that sends a `Library`'s headers would take a clean end for the whole
            // answer.
            if between_events && !is_recorded && *this.client == ClientKind::EventSource {
                LastFrames::clean(CloseReason::Cancelled, self.or_retry(Bytes::new()))
            } else {
                LastFrames::failure(CloseReason::Cancelled, self.last_line(), error)
            }
        } else if between_events && let Some(event) = this.options.event_for(&error, *this.client) {
            let event = this.boundary.interject(with_id(&event, this.id_line.as_deref()));
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

    /// Returns a comment line to send before a failure that sends nothing else, or no bytes if no
    /// line fits here. When the server drops this line, it has usually written all earlier bytes.
    fn last_line(&mut self) -> Bytes {
        let boundary = self.state().boundary;
        if boundary.at_line_start() { boundary.interject(COMMENT_LINE) } else { Bytes::new() }
    }

    fn cut(&mut self, reason: CloseReason) {
        let this = self.state();
        let between_events = this.boundary.between_events();
        let is_for_all = this.deadline.as_ref().is_some_and(|deadline| deadline.is_for_all);
        let lines = match reason {
            _ if !this.boundary.at_line_start() => Bytes::new(),
            CloseReason::Drained if between_events => this.options.goodbye(this.id_line.as_deref()),
            // A `retry` line belongs to no event, so it can be written mid-event.
            CloseReason::Drained => this.options.drain().retry.line(),
            CloseReason::Revoked if is_for_all => this.options.drain().retry.line(),
            _ => Bytes::new(),
        };
        let last = if lines.is_empty() { lines } else { this.boundary.interject(lines) };
        let is_clean = reason == CloseReason::Answered
            || !this.client.is_cut_by_failing() && !this.options.is_recorded();
        let ending = if between_events && is_clean {
            LastFrames::clean(reason, self.or_retry(last))
        } else {
            let last = if last.is_empty() { self.last_line() } else { last };
            LastFrames::cut_short(reason, last)
        };
        self.begin_ending(ending);
    }

    /// Drops the source, which may hold a permit or a cursor, and enters the last phase.
    fn begin_ending(&mut self, ending: LastFrames) {
        let state = self.state.as_mut().project();
        // The body may be dropped before it is polled again.
        if let Some(reason) = ending.reason() {
            state.record.reason = reason;
        }
        state.record.stop_awaiting_event();
        // Set the phase first: dropping the source may panic.
        *state.phase = StreamPhase::Ending(ending);
        let shutdown = state.shutdown.take();
        state.record.reason.noting_panic(|| self.source.set(None));
        if *state.holds_end
            && let StreamPhase::Ending(ending) = state.phase
            && let Some(last) = ending.hold(shutdown)
        {
            if !last.is_empty() {
                state.record.count_frame(last);
            }
            // While held, the stream takes no place that another stream could have.
            *state.deadline = None;
            state.record.close();
        }
    }
}
