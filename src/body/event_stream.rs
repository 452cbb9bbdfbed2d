mod ending;

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::{
    Boundary, CoopBudget, Deadline, IdleTimer, LastFrames, Report, Shutdown,
    boundary::first_block_has_retry, deadline::Verdict,
};
use crate::{BoxError, connection::Client, options::ResolvedOptions};

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
        options: Arc<ResolvedOptions>,
        boundary: Boundary,
        budget: CoopBudget,
        client: Client,
        #[pin]
        idle: Option<IdleTimer>,
        // Last, so that the source is dropped before the close is reported.
        report: Report,
    }
}

enum Phase {
    Beginning(Shutdown),
    Open,
    /// Open; holds a result that was polled ahead, or the rest of a frame that was too large to
    /// send in one piece.
    Holding(Box<Polled>),
    Ending(LastFrames),
}

/// The ready result of polling a body.
type Polled = Option<Result<Frame<Bytes>, BoxError>>;

/// Larger source frames are split into pieces of this many bytes. Reading the lines of a 16 MiB
/// frame in one piece took 71 ms, during which no other task ran on the thread.
const LARGEST_PIECE: usize = 256 * 1024;

impl<B> EventStream<B> {
    pub(crate) fn new(
        source: B,
        has_content_coding: bool,
        options: Arc<ResolvedOptions>,
        shutdown: Shutdown,
        client: Client,
        report: Report,
    ) -> Self {
        Self {
            source: Some(source),
            idle: options
                .heartbeat_interval()
                .filter(|_| !has_content_coding)
                .map(|_| IdleTimer::default()),
            deadline: None,
            boundary: if has_content_coding { Boundary::opaque() } else { Boundary::new() },
            phase: Phase::Beginning(shutdown),
            budget: CoopBudget::default(),
            options,
            client,
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
        if CoopBudget::poll_ready(cx).is_pending() && !self.as_mut().must_be_cut_now(cx) {
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
    fn must_be_cut_now(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        matches!(self.phase, Phase::Open | Phase::Holding(_))
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
                if this.boundary.is_opaque() || this.boundary.between_events() =>
            {
                Verdict::EndNow(reason)
            }
            // The held bytes may contain the end of the current event, so they are sent first.
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

    fn poll_phase(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            match self.as_mut().project().phase {
                Phase::Beginning(_) => {
                    let preamble = self.as_mut().begin_stream(cx);
                    if !preamble.is_empty() {
                        return Poll::Ready(Some(Ok(self.interject(&preamble))));
                    }
                }
                Phase::Open | Phase::Holding(_) => {
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
        *this.deadline = Deadline::new(this.options, shutdown, *this.client).map(Box::pin);
        if this.boundary.is_opaque() {
            return Bytes::new();
        }
        if !this.options.has_retry() || self.as_mut().must_end(cx) {
            return self.options.preamble();
        }
        // Some clients reject a block with two `retry` lines.
        match self.as_mut().poll_source(cx) {
            Poll::Pending => self.options.preamble(),
            Poll::Ready(first) => {
                let has_retry = first_data(&first).is_some_and(first_block_has_retry);
                *self.as_mut().project().phase = Phase::Holding(Box::new(first));
                if has_retry { self.options.padding() } else { self.options.preamble() }
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
        if let Phase::Holding(result) = this.phase {
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
        if data.len() > LARGEST_PIECE && !this.boundary.is_opaque() {
            let rest = data.split_off(LARGEST_PIECE);
            *this.phase = Phase::Holding(Box::new(Some(Ok(Frame::data(rest)))));
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
                this.options.heartbeat(),
                this.options.heartbeat_interval(),
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
}

/// Returns the first bytes of a stream, from its source's first result.
fn first_data(first: &Polled) -> Option<&[u8]> {
    let data = first.as_ref()?.as_ref().ok()?.data_ref()?;
    Some(data.get(..LARGEST_PIECE).unwrap_or(data))
}
