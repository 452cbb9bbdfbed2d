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
    /// The bytes of an event stream, made by anybody, and what the layer writes between them.
    // In this order in memory, so that an event touches few cache lines: what it needs comes first,
    // in `idle` and `report` too.
    #[repr(C)]
    pub(crate) struct EventStream<B> {
        #[pin]
        source: Option<B>,
        phase: Phase,
        // Out of line, for most streams have none.
        deadline: Option<Pin<Box<Deadline>>>,
        rules: Arc<ResolvedOptions>,
        boundary: Boundary,
        budget: CoopBudget,
        client: Client,
        // Bytes of ours would be garbage in a stream with a content coding.
        encoded: bool,
        #[pin]
        idle: Option<IdleTimer>,
        // Last, so that the source is gone when the close is reported.
        report: Report,
    }
}

enum Phase {
    Beginning(Shutdown),
    Open,
    /// Open, and the source's next result is here already.
    Held(Box<Polled>),
    Ending(Ending),
}

/// What polling a body returns when it is ready.
type Polled = Option<Result<Frame<Bytes>, BoxError>>;

/// A larger frame of the source passes in pieces of this size: reading the lines of one of 16 MiB
/// took 71 ms, during which no other task could run on the thread.
const LARGEST_PIECE: usize = 256 * 1024;

/// The last bytes of a stream that fails: dropped by the server, they tell that it has taken them.
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
        // To be cut takes no budget: a body whose task spends all on others must not outlive the shutdown.
        if CoopBudget::poll_ready(cx).is_pending() && !self.as_mut().can_be_cut(cx) {
            return Poll::Pending;
        }
        let polled = ready!(self.as_mut().poll_phase(cx));
        let this = self.project();
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.report.sent(data.len());
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

    /// Must the stream end, and can it do so here?
    fn can_be_cut(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let is_open = matches!(this.phase, Phase::Open | Phase::Held(_));
        let Some(deadline) = this.deadline.as_mut().filter(|_| is_open) else {
            return false;
        };
        match deadline.as_mut().look(cx) {
            Verdict::GoOn => false,
            Verdict::EndBetweenEvents(_) => *this.encoded || this.boundary.between_events(),
            Verdict::EndNow(_) => true,
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
                Phase::Open | Phase::Held(_) => {
                    if let Some(frame) = ready!(self.as_mut().poll_open(cx)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Phase::Ending(ending) => return ending.poll_frame(cx),
            }
        }
    }

    /// Opens the stream and returns the lines that it starts with.
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
        // Two `retry` lines in one block are an error to some clients.
        match self.as_mut().poll_source(cx) {
            Poll::Pending => self.rules.preamble(),
            Poll::Ready(first) => {
                let has_retry = first_data(&first).is_some_and(first_block_has_retry);
                *self.as_mut().project().phase = Phase::Held(Box::new(first));
                if has_retry { self.rules.padding() } else { self.rules.preamble() }
            }
        }
    }

    fn must_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let deadline = self.project().deadline;
        deadline.as_mut().is_some_and(|deadline| deadline.as_mut().look(cx) != Verdict::GoOn)
    }

    /// The source's next result, which may be held already.
    #[inline]
    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let mut this = self.project();
        if let Phase::Held(held) = this.phase {
            let held = held.take();
            *this.phase = Phase::Open;
            return Poll::Ready(held);
        }
        let Some(source) = this.source.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = this.report.within_source(|| source.poll_frame(cx));
        polled.map(|polled| polled.map(|frame| frame.map_err(Into::into)))
    }

    /// The next frame of an open stream, or `None` when it is no longer open.
    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            let this = self.as_mut().project();
            let verdict = this.deadline.as_mut().map_or(Verdict::GoOn, |it| it.as_mut().look(cx));
            let due = match verdict {
                Verdict::GoOn => false,
                Verdict::EndBetweenEvents(reason) if !*this.encoded => {
                    if this.boundary.between_events() {
                        self.cut(reason);
                        return Poll::Ready(None);
                    }
                    true
                }
                Verdict::EndBetweenEvents(reason) | Verdict::EndNow(reason) => {
                    self.cut(reason);
                    return Poll::Ready(None);
                }
            };
            let frame = match self.as_mut().poll_source(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.end_with(error);
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => {
                    self.end(None);
                    return Poll::Ready(None);
                }
                Poll::Pending => match ready!(self.as_mut().poll_timers(cx)) {
                    Some(heartbeat) => return Poll::Ready(Some(heartbeat)),
                    None => continue,
                },
            };
            match frame.into_data() {
                Ok(data) => {
                    let data = self.as_mut().pass(data, due);
                    let mut this = self.as_mut().project();
                    if data.is_empty() {
                        if this.budget.poll_empty(cx).is_ready() {
                            continue;
                        }
                        match ready!(self.as_mut().poll_timers(cx)) {
                            Some(heartbeat) => return Poll::Ready(Some(heartbeat)),
                            None => continue,
                        }
                    }
                    this.budget.spend(cx, data.len());
                    if let Some(idle) = this.idle.as_mut().as_pin_mut() {
                        idle.reset();
                    }
                    return Poll::Ready(Some(Frame::data(data)));
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => {
                        self.end(Some(trailers));
                        return Poll::Ready(None);
                    }
                    Err(frame) => return Poll::Ready(Some(frame)),
                },
            }
        }
    }

    /// What may be sent of a frame of the source, up to the first place between events if the
    /// stream is `due` to end.
    #[inline]
    fn pass(self: Pin<&mut Self>, mut data: Bytes, due: bool) -> Bytes {
        let this = self.project();
        if *this.encoded {
            return data;
        }
        if data.len() > LARGEST_PIECE {
            let rest = data.split_off(LARGEST_PIECE);
            *this.phase = Phase::Held(Box::new(Some(Ok(Frame::data(rest)))));
        }
        if due { this.boundary.pass_to_first_end(data) } else { this.boundary.pass(data) }
    }

    /// A heartbeat as soon as it is due and has a place, or `None` when the stream's deadline must be
    /// looked at again.
    fn poll_timers(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(deadline) = self.as_mut().project().deadline
            && deadline.as_mut().poll_change(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        let heartbeat = ready!(self.as_mut().poll_heartbeat(cx));
        self.as_mut().project().report.heartbeat();
        Poll::Ready(Some(self.interject(&heartbeat)))
    }

    /// Heartbeat lines, as soon as they are due and have a place.
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
            // In mid-line there is no place: the next interval begins.
        }
    }

    /// Writes lines of ours where there is a place for them.
    fn interject(self: Pin<&mut Self>, lines: &Bytes) -> Frame<Bytes> {
        let this = self.project();
        if let Some(idle) = this.idle.as_pin_mut() {
            idle.reset();
        }
        Frame::data(this.boundary.interject(lines))
    }

    /// The source came to its own clean end.
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

    /// The source failed.
    fn end_with(mut self: Pin<&mut Self>, error: BoxError) {
        let this = self.as_mut().project();
        let is_cancellation = this.rules.is_cancellation(&error);
        // Mid-event every error fails the body: after a clean end some clients dispatch the half
        // event. In a content coding nobody knows where events end.
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

    /// The last bytes before a failure for which there are no others: a comment line, where a line
    /// can start.
    fn last_line(self: Pin<&mut Self>) -> Bytes {
        let this = self.project();
        if *this.encoded || !this.boundary.at_line_start() {
            return Bytes::new();
        }
        this.boundary.interject(&COMMENT_LINE)
    }

    /// The stream must end although its source goes on.
    fn cut(mut self: Pin<&mut Self>, reason: CloseReason) {
        let this = self.as_mut().project();
        let between_events = !*this.encoded && this.boundary.between_events();
        let lines = match reason {
            CloseReason::Drained if between_events => this.rules.goodbye(),
            // A `retry` line is part of no event.
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

    /// Drops the source, and not with the body: it may hold a guard, a permit or a cursor. What follows is
    /// known before, should the drop panic.
    fn begin_ending(self: Pin<&mut Self>, ending: Ending) {
        let mut this = self.project();
        // The body may be dropped before it is polled again.
        if let Some(reason) = ending.reason() {
            this.report.set_reason(reason);
        }
        *this.phase = Phase::Ending(ending);
        *this.deadline = None;
        this.report.within_source(|| this.source.set(None));
    }
}

/// The bytes of a stream's first result, as far as they are worth reading.
fn first_data(first: &Polled) -> Option<&[u8]> {
    let data = first.as_ref()?.as_ref().ok()?.data_ref()?;
    Some(data.get(..LARGEST_PIECE).unwrap_or(data))
}
