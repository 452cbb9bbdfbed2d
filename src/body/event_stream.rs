use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use super::{Boundary, Pace, Rules, Silence};
use crate::BoxError;

/// How long an error of the source is held back. What hyper has not flushed when a body fails is
/// lost with it, and browsers drop what a failed `fetch` body had queued: one more turn of the
/// runtime is enough on HTTP/1, not on HTTP/2, nor for browsers.
const ERROR_HELD_BACK: Duration = Duration::from_millis(20);

pin_project! {
    /// The bytes of an event stream, made by anybody, and what the layer writes between them.
    pub(crate) struct EventStream<B> {
        #[pin]
        source: Option<B>,
        #[pin]
        silence: Option<Silence>,
        boundary: Boundary,
        phase: Phase,
        pace: Pace,
        rules: Arc<Rules>,
        // Bytes of ours would be garbage in a stream with a content coding.
        encoded: bool,
    }
}

enum Phase {
    Beginning,
    Open,
    /// The source is gone; these frames are still to be sent.
    Ending {
        last: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    Failing {
        error: BoxError,
        held_back: Option<Pin<Box<Sleep>>>,
    },
    Over,
}

impl<B> EventStream<B> {
    pub(crate) fn new(source: B, rules: Arc<Rules>, encoded: bool) -> Self {
        Self {
            source: Some(source),
            silence: if encoded { None } else { rules.silence() },
            boundary: Boundary::new(),
            phase: Phase::Beginning,
            pace: Pace::default(),
            rules,
            encoded,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
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
        ready!(Pace::poll_ready(cx));
        loop {
            let this = self.as_mut().project();
            match this.phase {
                Phase::Beginning => {
                    *this.phase = Phase::Open;
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
                Phase::Ending { last, trailers } => {
                    let frame = match mem::take(last) {
                        last if !last.is_empty() => Some(Frame::data(last)),
                        _ => trailers.take().map(|trailers| Frame::trailers(*trailers)),
                    };
                    if last.is_empty() && trailers.is_none() {
                        *this.phase = Phase::Over;
                    }
                    return Poll::Ready(frame.map(Ok));
                }
                Phase::Failing { held_back, .. } => {
                    ready!(poll_held_back(held_back, cx));
                    let Phase::Failing { error, .. } = mem::replace(this.phase, Phase::Over) else {
                        return Poll::Ready(None);
                    };
                    return Poll::Ready(Some(Err(error)));
                }
                Phase::Over => return Poll::Ready(None),
            }
        }
    }

    /// The next frame of an open stream, or `None` when it is no longer open.
    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            let mut this = self.as_mut().project();
            let Some(source) = this.source.as_mut().as_pin_mut() else {
                *this.phase = Phase::Over;
                return Poll::Ready(None);
            };
            let frame = match source.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.end_with(error.into());
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => {
                    self.end(None);
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let heartbeat = ready!(self.as_mut().poll_heartbeat(cx));
                    return Poll::Ready(Some(self.interject(&heartbeat)));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let data = if *this.encoded { data } else { this.boundary.pass(data) };
                    if data.is_empty() {
                        if Pace::poll_unit(cx).is_ready() {
                            continue;
                        }
                        let heartbeat = ready!(self.as_mut().poll_heartbeat(cx));
                        return Poll::Ready(Some(self.interject(&heartbeat)));
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
    fn end(self: Pin<&mut Self>, trailers: Option<Box<HeaderMap>>) {
        let mut this = self.project();
        // Dropped now and not with the body: it may hold a guard, a permit or a cursor.
        this.source.set(None);
        let last = match this.rules.terminator() {
            Some(terminator) if !*this.encoded && this.boundary.between_events() => {
                this.boundary.interject(terminator)
            }
            _ => Bytes::new(),
        };
        *this.phase = Phase::Ending { last, trailers };
    }

    /// The source failed.
    fn end_with(self: Pin<&mut Self>, error: BoxError) {
        let mut this = self.project();
        this.source.set(None);
        let ending = |last| Phase::Ending { last, trailers: None };
        // Amid an event every error fails: at a clean end some clients take the half for the whole.
        // Under a content coding nobody knows.
        let amid_event = *this.encoded || !this.boundary.between_events();
        *this.phase = if !amid_event && this.rules.is_benign(&error) {
            debug!(error = %error, "the source of an event stream left");
            ending(Bytes::new())
        } else if !amid_event && let Some(event) = this.rules.event_for(&error) {
            ending(this.boundary.interject(&event))
        } else {
            Phase::Failing { error, held_back: None }
        };
    }
}

fn poll_held_back(timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    let timer = match timer {
        Some(timer) => timer,
        // Without a runtime there is no timer, nor hyper's connection task.
        None if Handle::try_current().is_err() => return Poll::Ready(()),
        None => timer.insert(Box::pin(sleep(ERROR_HELD_BACK))),
    };
    timer.as_mut().poll(cx)
}
