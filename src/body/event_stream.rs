use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::{
    Boundary, CoopBudget, Deadline, Ending, IdleTimer, Report, Shutdown,
    boundary::first_block_has_retry, deadline::Verdict,
};
use crate::{
    BoxError,
    connection::{Client, CloseReason},
    options::ResolvedOptions,
};

pin_project! {
    /// The bytes of a source's event stream, with the lines that the layer writes between them.
    // `repr(C)` keeps the fields that an event needs first, in `idle` and `report` too, so that an
    // event touches few cache lines.
    #[repr(C)]
    pub(crate) struct EventStream<B> {
        #[pin]
        source: Option<B>,
        phase: Phase,
        // Boxed, because most streams have none.
        deadline: Option<Pin<Box<Deadline>>>,
        rules: Arc<ResolvedOptions>,
        boundary: Boundary,
        budget: CoopBudget,
        client: Client,
        // The stream has a content coding, in which the layer cannot write lines.
        encoded: bool,
        #[pin]
        idle: Option<IdleTimer>,
        // Last, so that the source is dropped before the close is reported.
        report: Report,
    }
}

enum Phase {
    Beginning(Shutdown),
    Open,
    /// Open; the source was polled ahead and its result is kept.
    HoldsResult(Box<Polled>),
    Ending(Ending),
}

/// The ready result of polling a body.
type Polled = Option<Result<Frame<Bytes>, BoxError>>;

/// The size, in bytes, of the pieces in which a larger frame of the source passes. Reading the
/// lines of a 16 MiB frame in one piece took 71 ms, during which no other task ran on the thread.
const LARGEST_PIECE: usize = 256 * 1024;

/// The last bytes of a failing stream. When the server drops them, it has written them.
const COMMENT_LINE: Bytes = Bytes::from_static(b":\n");

impl<B> EventStream<B> {
    pub(crate) fn new(
        source: B,
        encoded: bool,
        rules: Arc<ResolvedOptions>,
        shutdown: Shutdown,
        client: Client,
        report: Report,
    ) -> Self {
        Self {
            source: Some(source),
            idle: rules.heartbeat_interval().filter(|_| !encoded).map(|_| IdleTimer::default()),
            deadline: None,
            boundary: Boundary::new(),
            phase: Phase::Beginning(shutdown),
            budget: CoopBudget::default(),
            rules,
            client,
            encoded,
            report,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(&self.phase, Phase::Ending(ending) if ending.is_over())
    }
}

impl<B> EventStream<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    pub(crate) fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        // Cutting the stream needs no budget: a body whose task spends its budget elsewhere must
        // not outlive the shutdown.
        if CoopBudget::poll_ready(cx).is_pending() && !self.as_mut().can_be_cut(cx) {
            return Poll::Pending;
        }
        let polled = ready!(self.as_mut().poll_phase(cx));
        let this = self.project();
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.report.record_frame(data.len());
        }
        if let Phase::Ending(ending) = this.phase {
            if let Some(reason) = ending.reason() {
                this.report.set_reason(reason);
            }
            if ending.is_over() {
                this.report.close();
            }
        }
        Poll::Ready(polled)
    }

    /// Returns whether the stream must end, and can end at this point.
    fn can_be_cut(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        matches!(self.phase, Phase::Open | Phase::HoldsResult(_))
            && matches!(self.check_deadline(cx), Verdict::EndNow(_))
    }

    /// Returns what the deadline demands at this point of the stream.
    #[inline]
    fn check_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Verdict {
        let this = self.project();
        let Some(deadline) = this.deadline.as_mut() else {
            return Verdict::Continue;
        };
        match deadline.as_mut().check(cx) {
            Verdict::EndBetweenEvents(reason)
                if *this.encoded || this.boundary.between_events() =>
            {
                Verdict::EndNow(reason)
            }
            verdict => verdict,
        }
    }

    fn poll_phase(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            match self.as_mut().project().phase {
                Phase::Beginning(_) => {
                    let preamble = self.as_mut().begin_stream(cx);
                    if !preamble.is_empty() {
                        return Poll::Ready(Some(Ok(self.interject(&preamble))));
                    }
                }
                Phase::Open | Phase::HoldsResult(_) => {
                    if let Some(frame) = ready!(self.as_mut().poll_open(cx)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Phase::Ending(ending) => return ending.poll_frame(cx),
            }
        }
    }

    /// Opens the stream and returns its first lines.
    #[cold]
    fn begin_stream(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Bytes {
        let this = self.as_mut().project();
        let shutdown = match mem::replace(this.phase, Phase::Open) {
            Phase::Beginning(shutdown) => shutdown.into_token(),
            _ => None,
        };
        *this.deadline = Deadline::new(this.rules, shutdown, *this.client).map(Box::pin);
        if *this.encoded {
            return Bytes::new();
        }
        if !this.rules.has_retry() || self.as_mut().must_end(cx) {
            return self.rules.preamble();
        }
        // Some clients reject a block with two `retry` lines.
        match self.as_mut().poll_source(cx) {
            Poll::Pending => self.rules.preamble(),
            Poll::Ready(first) => {
                let has_retry = first_data(&first).is_some_and(first_block_has_retry);
                *self.as_mut().project().phase = Phase::HoldsResult(Box::new(first));
                if has_retry { self.rules.padding() } else { self.rules.preamble() }
            }
        }
    }

    /// Returns whether the stream must end, here or later.
    fn must_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let deadline = self.project().deadline;
        deadline.as_mut().is_some_and(|deadline| deadline.as_mut().check(cx) != Verdict::Continue)
    }

    /// Returns the source's next result, which may have been polled ahead.
    #[inline]
    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let mut this = self.project();
        if let Phase::HoldsResult(result) = this.phase {
            let result = result.take();
            *this.phase = Phase::Open;
            return Poll::Ready(result);
        }
        let Some(source) = this.source.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = this.report.within_source(|| source.poll_frame(cx));
        polled.map(|polled| polled.map(|frame| frame.map_err(Into::into)))
    }

    /// Returns the next frame of an open stream, or `None` once the stream is no longer open.
    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            let is_due = match self.as_mut().check_deadline(cx) {
                Verdict::Continue => false,
                Verdict::EndBetweenEvents(_) => true,
                Verdict::EndNow(reason) => {
                    self.cut(reason);
                    return Poll::Ready(None);
                }
            };
            match self.as_mut().poll_source(cx) {
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
                        let data = self.as_mut().pass(data, is_due);
                        let this = self.as_mut().project();
                        if !data.is_empty() {
                            this.budget.spend(cx, data.len());
                            if let Some(idle) = this.idle.as_pin_mut() {
                                idle.reset();
                            }
                            return Poll::Ready(Some(Frame::data(data)));
                        }
                        if this.budget.poll_empty(cx).is_ready() {
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
            if let Some(heartbeat) = ready!(self.as_mut().poll_timers(cx)) {
                return Poll::Ready(Some(heartbeat));
            }
        }
    }

    /// Returns the bytes of a source's frame that can be sent, which end at the first point between
    /// events if the stream `is_due` to end.
    #[inline]
    fn pass(self: Pin<&mut Self>, mut data: Bytes, is_due: bool) -> Bytes {
        let this = self.project();
        if *this.encoded {
            return data;
        }
        if data.len() > LARGEST_PIECE {
            let rest = data.split_off(LARGEST_PIECE);
            *this.phase = Phase::HoldsResult(Box::new(Some(Ok(Frame::data(rest)))));
        }
        if is_due { this.boundary.pass_to_first_end(data) } else { this.boundary.pass(data) }
    }

    /// Returns a heartbeat once one is due and can be written, or `None` once the deadline must be
    /// checked again.
    fn poll_timers(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(deadline) = self.as_mut().project().deadline
            && deadline.as_mut().poll_change(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        let heartbeat = ready!(self.as_mut().poll_heartbeat(cx));
        self.as_mut().project().report.record_heartbeat();
        Poll::Ready(Some(self.interject(&heartbeat)))
    }

    /// Returns the lines of a heartbeat once it is due and can be written.
    fn poll_heartbeat(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut this = self.project();
        loop {
            let (Some(idle), Some(heartbeat), Some(interval)) = (
                this.idle.as_mut().as_pin_mut(),
                this.rules.heartbeat(),
                this.rules.heartbeat_interval(),
            ) else {
                return Poll::Pending;
            };
            ready!(idle.poll_interval(cx, interval));
            if this.boundary.between_events() {
                return Poll::Ready(heartbeat.between_events().clone());
            }
            if this.boundary.at_line_start() {
                return Poll::Ready(heartbeat.lines().clone());
            }
            // Mid-line no line can be written, so this heartbeat is skipped.
        }
    }

    /// Writes lines of the layer at this point of the stream, which must be a line start.
    fn interject(self: Pin<&mut Self>, lines: &Bytes) -> Frame<Bytes> {
        let this = self.project();
        if let Some(idle) = this.idle.as_pin_mut() {
            idle.reset();
        }
        Frame::data(this.boundary.interject(lines))
    }

    /// Ends the stream at its source's clean end.
    fn end(mut self: Pin<&mut Self>, trailers: Option<HeaderMap>) {
        let this = self.as_mut().project();
        let last = match this.rules.terminator() {
            Some(terminator) if !*this.encoded && this.boundary.between_events() => {
                this.boundary.interject(terminator)
            }
            _ => Bytes::new(),
        };
        self.begin_ending(Ending::own(last, trailers));
    }

    /// Ends the stream because its source failed.
    fn fail(mut self: Pin<&mut Self>, error: BoxError) {
        let this = self.as_mut().project();
        let is_cancellation = this.rules.is_cancellation(&error);
        // Mid-event every error fails the body, because some clients dispatch an incomplete event
        // after a clean end. In a content coding the layer cannot see where events end.
        let between_events = !*this.encoded && this.boundary.between_events();
        let ending = if is_cancellation {
            debug!(error = %error, "the source of an event stream was cancelled");
            if between_events && this.client.reconnects_after_clean_end() {
                Ending::clean(CloseReason::Cancelled, Bytes::new())
            } else {
                Ending::failure(CloseReason::Cancelled, self.as_mut().last_line(), error)
            }
        } else if between_events && let Some(event) = this.rules.event_for(&error) {
            Ending::clean(CloseReason::Failed, this.boundary.interject(&event))
        } else {
            Ending::failure(CloseReason::Failed, self.as_mut().last_line(), error)
        };
        self.begin_ending(ending);
    }

    /// Returns a comment line, for a failure without other last bytes; nothing where no line can
    /// start.
    fn last_line(self: Pin<&mut Self>) -> Bytes {
        let this = self.project();
        if *this.encoded || !this.boundary.at_line_start() {
            return Bytes::new();
        }
        this.boundary.interject(&COMMENT_LINE)
    }

    /// Ends the stream before its source has ended.
    fn cut(mut self: Pin<&mut Self>, reason: CloseReason) {
        let this = self.as_mut().project();
        let between_events = !*this.encoded && this.boundary.between_events();
        let lines = match reason {
            CloseReason::Drained if between_events => this.rules.goodbye(),
            // A `retry` line belongs to no event, so it can be written mid-event.
            CloseReason::Drained if !*this.encoded && this.boundary.at_line_start() => {
                this.rules.reconnection_time()
            }
            _ => Bytes::new(),
        };
        let last = if lines.is_empty() { lines } else { this.boundary.interject(&lines) };
        let ending = if between_events && !this.client.is_cut_by_failing() {
            Ending::clean(reason, last)
        } else {
            let last = if last.is_empty() { self.as_mut().last_line() } else { last };
            Ending::cut_short(reason, last)
        };
        self.begin_ending(ending);
    }

    /// Drops the source and enters the last phase.
    ///
    /// The source is not kept until the body is dropped, because it may hold a guard, a permit or a
    /// cursor.
    fn begin_ending(self: Pin<&mut Self>, ending: Ending) {
        let mut this = self.project();
        // The body may be dropped before it is polled again.
        if let Some(reason) = ending.reason() {
            this.report.set_reason(reason);
        }
        // Set the phase first: dropping the source may panic.
        *this.phase = Phase::Ending(ending);
        *this.deadline = None;
        this.report.within_source(|| this.source.set(None));
    }
}

/// Returns the first bytes of a stream, from its source's first result.
fn first_data(first: &Polled) -> Option<&[u8]> {
    let data = first.as_ref()?.as_ref().ok()?.data_ref()?;
    Some(data.get(..LARGEST_PIECE).unwrap_or(data))
}
