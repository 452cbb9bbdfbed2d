use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::{
    Boundary, Ending, Lifetime, Pace, Report, Rules, Shutdown, Silence, lifetime::Verdict,
};
use crate::{
    BoxError,
    connection::{Client, CloseReason},
};

pin_project! {
    /// The bytes of an event stream, made by anybody, and what the layer writes between them.
    pub(crate) struct EventStream<B> {
        #[pin]
        source: Option<B>,
        #[pin]
        silence: Option<Silence>,
        // Out of line, for most streams have none.
        lifetime: Option<Pin<Box<Lifetime>>>,
        shutdown: Option<Shutdown>,
        boundary: Boundary,
        phase: Phase,
        pace: Pace,
        rules: Arc<Rules>,
        client: Client,
        // Bytes of ours would be garbage in a stream with a content coding.
        encoded: bool,
        // Last, so that the source is gone when the close is told.
        report: Report,
    }
}

enum Phase {
    Beginning,
    Open,
    Ending(Ending),
}

impl<B> EventStream<B> {
    pub(crate) fn new(
        source: B,
        encoded: bool,
        rules: Arc<Rules>,
        shutdown: Shutdown,
        client: Client,
        report: Report,
    ) -> Self {
        Self {
            source: Some(source),
            silence: if encoded { None } else { rules.silence() },
            lifetime: None,
            shutdown: Some(shutdown),
            boundary: Boundary::new(),
            phase: Phase::Beginning,
            pace: Pace::default(),
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
    pub(crate) fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // To be cut takes no budget: a body whose task spends all on others must not outlive the shutdown.
        if Pace::poll_ready(cx).is_pending() && !self.as_mut().can_be_cut(cx) {
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
        let Some(lifetime) = this.lifetime.as_mut().filter(|_| matches!(this.phase, Phase::Open))
        else {
            return false;
        };
        match lifetime.as_mut().look(cx) {
            Verdict::GoOn => false,
            Verdict::EndBetweenEvents(_) => *this.encoded || this.boundary.between_events(),
            Verdict::EndNow(_) => true,
        }
    }

    fn poll_phase(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let this = self.as_mut().project();
            match this.phase {
                Phase::Beginning => {
                    *this.phase = Phase::Open;
                    let shutdown = this.shutdown.take().and_then(Shutdown::into_token);
                    *this.lifetime =
                        Lifetime::new(this.rules, shutdown, *this.client).map(Box::pin);
                    let preamble = if *this.encoded { Bytes::new() } else { this.rules.preamble() };
                    if !preamble.is_empty() {
                        return Poll::Ready(Some(Ok(self.interject(&preamble))));
                    }
                }
                Phase::Open => {
                    if let Some(frame) = ready!(self.as_mut().poll_open(cx)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Phase::Ending(ending) => return ending.poll_frame(cx),
            }
        }
    }

    /// The next frame of an open stream, or `None` when it is no longer open.
    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            let mut this = self.as_mut().project();
            let verdict = this.lifetime.as_mut().map_or(Verdict::GoOn, |it| it.as_mut().look(cx));
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
            let Some(source) = this.source.as_mut().as_pin_mut() else {
                self.begin(Ending::clean(CloseReason::Ended, Bytes::new()));
                return Poll::Ready(None);
            };
            let frame = match this.report.within_source(|| source.poll_frame(cx)) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.end_with(error.into());
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
                    let data = match (*this.encoded, due) {
                        (true, _) => data,
                        (false, false) => this.boundary.pass(data),
                        (false, true) => this.boundary.pass_to_first_end(data),
                    };
                    if data.is_empty() {
                        if Pace::poll_unit(cx).is_ready() {
                            continue;
                        }
                        match ready!(self.as_mut().poll_timers(cx)) {
                            Some(heartbeat) => return Poll::Ready(Some(heartbeat)),
                            None => continue,
                        }
                    }
                    this.pace.spend(cx, data.len());
                    if let Some(silence) = this.silence.as_pin_mut() {
                        silence.broken();
                    }
                    return Poll::Ready(Some(Frame::data(data)));
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => {
                        self.end(Some(Box::new(trailers)));
                        return Poll::Ready(None);
                    }
                    Err(frame) => return Poll::Ready(Some(frame)),
                },
            }
        }
    }

    /// A heartbeat as soon as it is due and has a place, or `None` when the stream's lifetime must be
    /// looked at again.
    fn poll_timers(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(lifetime) = self.as_mut().project().lifetime
            && lifetime.as_mut().poll_change(cx).is_ready()
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
            let (Some(silence), Some(heartbeat)) =
                (this.silence.as_mut().as_pin_mut(), this.rules.heartbeat())
            else {
                return Poll::Pending;
            };
            ready!(silence.poll_interval(cx));
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
        if let Some(silence) = this.silence.as_pin_mut() {
            silence.broken();
        }
        Frame::data(this.boundary.interject(lines))
    }

    /// The source came to its own clean end.
    fn end(mut self: Pin<&mut Self>, trailers: Option<Box<HeaderMap>>) {
        let this = self.as_mut().project();
        let last = match this.rules.terminator() {
            Some(terminator) if !*this.encoded && this.boundary.between_events() => {
                this.boundary.interject(terminator)
            }
            _ => Bytes::new(),
        };
        self.begin(Ending::own(last, trailers));
    }

    /// The source failed.
    fn end_with(mut self: Pin<&mut Self>, error: BoxError) {
        let this = self.as_mut().project();
        // Amid an event every error fails: at a clean end some clients take the half for the whole.
        // Under a content coding nobody knows.
        let amid_event = *this.encoded || !this.boundary.between_events();
        let ending = if !amid_event && this.rules.is_benign(&error) {
            debug!(error = %error, "the source of an event stream left");
            Ending::clean(CloseReason::Ended, Bytes::new())
        } else if !amid_event && let Some(event) = this.rules.event_for(&error) {
            Ending::clean(CloseReason::Failed, this.boundary.interject(&event))
        } else {
            Ending::failure(CloseReason::Failed, Bytes::new(), error)
        };
        self.begin(ending);
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
            Ending::cut_short(reason, last)
        };
        self.begin(ending);
    }

    /// Drops the source, and not with the body: it may hold a guard, a permit or a cursor. What follows is
    /// known before, should the drop panic.
    fn begin(self: Pin<&mut Self>, ending: Ending) {
        let mut this = self.project();
        // The body may be dropped before it is polled again.
        if let Some(reason) = ending.reason() {
            this.report.set_reason(reason);
        }
        *this.phase = Phase::Ending(ending);
        *this.lifetime = None;
        this.report.within_source(|| this.source.set(None));
    }
}
