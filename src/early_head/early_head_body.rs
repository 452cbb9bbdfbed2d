use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{future::Future, mem};

use bytes::{Bytes, BytesMut};
use http::{Response, response::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::{LateResponse, late_response::LateEvent};
use crate::signals::{EarlyHead, FailedInside, Handled, Stopped};
use crate::{BoxError, body::warn_without_layer, callback::catch_panic};
use crate::{coop::CoopBudget, event::Encoded, headers};

pin_project! {
    /// The body of an [`EarlyHeadService`](super::EarlyHeadService)'s responses. After an early
    /// head, it polls the inner service's call, and then the body of the late response. Dropping it
    /// drops both.
    pub struct EarlyHeadBody<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B> {
        // The service has answered in time.
        Passing { #[pin] body: B },
        // Boxed, because the bodies of all other responses are moved too.
        Waiting { waiting: Option<Box<Waiting<F>>> },
        // The service has answered late, with an event stream. After that of an inner layer, or a
        // refusal, no terminator may follow, so its trailers are dropped.
        Streaming { #[pin] body: B, handled: Option<(EarlyHead, Stopped)> },
        // The service has answered late, with something else.
        Collecting { #[pin] body: B, late: Option<Box<Late>> },
        // After the event of a late error, no terminator may follow.
        Stopping { head: EarlyHead },
        Over,
    }
}

/// A call whose head was sent early.
pub(super) struct Waiting<F> {
    // Boxed, because it moves into the body after the future has polled it.
    pub(super) call: Pin<Box<F>>,
    pub(super) late_event: Option<LateEvent>,
    pub(super) head: EarlyHead,
    /// When the head is sent, or `None` for a time that never comes.
    pub(super) due: Option<Instant>,
    /// `None` until the first poll has shown that the call has no answer yet.
    pub(super) sleep: Option<Pin<Box<Sleep>>>,
}

/// A late answer that is not an event stream.
struct Late {
    parts: Box<Parts>,
    body: BytesMut,
    budget: CoopBudget,
    late_event: Option<LateEvent>,
    head: EarlyHead,
}

/// The limit in bytes of a late answer that can become an event.
const MAX_LATE: usize = 64 << 10;

type Polled = Option<Result<Frame<Bytes>, BoxError>>;

impl<F, B> EarlyHeadBody<F, B> {
    pub(super) const fn passing(body: B) -> Self {
        Self { kind: Kind::Passing { body } }
    }

    pub(super) const fn waiting(waiting: Box<Waiting<F>>) -> Self {
        Self { kind: Kind::Waiting { waiting: Some(waiting) } }
    }

    pub(super) const fn empty() -> Self {
        Self { kind: Kind::Over }
    }
}

/// The default body, passed through. Middleware that answers by itself, such as tower-http's
/// `CorsLayer`, sends it.
impl<F, B: Default> Default for EarlyHeadBody<F, B> {
    fn default() -> Self {
        Self::passing(B::default())
    }
}

impl<F, B, E> Body for EarlyHeadBody<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        let mut kind = self.project().kind;
        match kind.as_mut().project() {
            KindProj::Passing { body } => body.poll_frame(cx).map_err(Into::into),
            _ => kind.poll_late(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passing { body } => body.is_end_stream(),
            Kind::Waiting { waiting: None } | Kind::Over => true,
            _ => false,
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passing { body } => body.size_hint(),
            Kind::Over => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl<F, B, E> Kind<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Polls a body whose head was sent early.
    // Out of line, so that all other bodies pay only for the check.
    #[cold]
    fn poll_late(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            match self.as_mut().project() {
                KindProj::Passing { body } => return body.poll_frame(cx).map_err(Into::into),
                KindProj::Waiting { waiting } => {
                    warn_without_layer();
                    let Some(early) = waiting else { return Poll::Ready(None) };
                    let answer = ready!(early.call.as_mut().poll(cx));
                    match (answer, waiting.take()) {
                        (Ok(response), Some(waiting)) => self.set(Kind::of(response, *waiting)),
                        (Ok(_), None) => return Poll::Ready(None),
                        (Err(error), _) => return Poll::Ready(Some(Err(error.into()))),
                    }
                }
                KindProj::Streaming { body, handled } => {
                    let polled = ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
                    let is_handled = handled.as_ref().is_some_and(|(head, _)| head.is_layered());
                    let continues = |frame: &Frame<_>| !is_handled || !frame.is_trailers();
                    if polled.as_ref().is_some_and(|it| it.as_ref().is_ok_and(continues)) {
                        return Poll::Ready(polled);
                    }
                    let end = handled.take().filter(|_| is_handled);
                    self.set(Kind::Over);
                    return Poll::Ready(match (polled, end) {
                        (polled, None) => polled,
                        (Some(Err(error)), Some(_)) => Some(Err(FailedInside(error).into())),
                        (_, Some((_, stopped))) => Some(Err(stopped.into())),
                    });
                }
                KindProj::Collecting { body, late } => {
                    if late.as_ref().is_some_and(|late| late.is_stream()) {
                        let coded = late.take().map(|late| late.without_body());
                        self.set(Kind::Over);
                        return Poll::Ready(coded);
                    }
                    let last = match ready!(body.poll_frame(cx)) {
                        Some(Ok(frame)) => {
                            if let Some(late) = late
                                && late.take_in(frame)
                            {
                                ready!(late.budget.poll_empty(cx));
                                continue;
                            }
                            late.take().map(|late| late.without_body())
                        }
                        Some(Err(error)) => Some(Err(error.into())),
                        None => {
                            let failed = late.as_ref().filter(|late| late.is_error());
                            let head = failed.map(|late| late.head.clone());
                            let last = late.take().map(|late| late.last_frame());
                            let head = head.filter(|_| matches!(last, Some(Ok(_))));
                            self.set(head.map_or(Kind::Over, |head| Kind::Stopping { head }));
                            return Poll::Ready(last);
                        }
                    };
                    self.set(Kind::Over);
                    return Poll::Ready(last);
                }
                KindProj::Stopping { head } => {
                    // Asked only now: middleware can read the event before the layer has the head.
                    let stops = head.is_layered();
                    self.set(Kind::Over);
                    let error = || Err(Stopped::Told.into());
                    return Poll::Ready(stops.then(error));
                }
                KindProj::Over => return Poll::Ready(None),
            }
        }
    }
}

impl<F, B> Kind<F, B> {
    /// Returns the rest of the body after this late response, and gives the layer what it can still
    /// use of its head.
    fn of(response: Response<B>, waiting: Waiting<F>) -> Self {
        let Waiting { call, late_event, head, .. } = waiting;
        drop(call);
        let (mut parts, body) = response.into_parts();
        let is_stream = parts.status.is_success()
            && headers::is_event_stream(parts.status, &parts.headers)
            && !headers::has_content_coding(&parts.headers);
        let handled = parts.extensions.get().map(|handled| match handled {
            Handled::Stream(_) => (head.clone(), Stopped::Whole),
            Handled::Refused { .. } => (head.clone(), Stopped::Refused),
        });
        head.answer(mem::take(&mut parts.extensions));
        if is_stream {
            return Self::Streaming { body, handled };
        }
        let late = Late {
            parts: Box::new(parts),
            body: BytesMut::new(),
            budget: CoopBudget::default(),
            late_event,
            head,
        };
        Self::Collecting { body, late: Some(Box::new(late)) }
    }
}

impl Late {
    /// Adds a frame. Returns `false` if the body becomes too large.
    fn take_in(&mut self, frame: Frame<Bytes>) -> bool {
        let data = frame.into_data().unwrap_or_default();
        let fits = self.body.len() + data.len() <= MAX_LATE;
        if fits {
            self.body.extend_from_slice(&data);
        }
        fits
    }

    fn is_error(&self) -> bool {
        !self.parts.status.is_success()
    }

    /// Returns whether this is a stream with a content coding, which may never end.
    fn is_stream(&self) -> bool {
        !self.is_error() && headers::is_event_stream(self.parts.status, &self.parts.headers)
    }

    fn without_body(self) -> Result<Frame<Bytes>, BoxError> {
        Err(LateResponse::boxed(Response::from_parts(*self.parts, Bytes::new())))
    }

    /// Returns the event for the response, or the error with which the body fails.
    fn last_frame(self) -> Result<Frame<Bytes>, BoxError> {
        let response = Response::from_parts(*self.parts, self.body.freeze());
        let late_event =
            self.late_event.filter(|_| !headers::has_content_coding(response.headers()));
        match late_event
            .and_then(|to_event| catch_panic(|| to_event(&response)?.dispatched()).flatten())
        {
            Some(event) => Ok(Frame::data(Encoded::from(event).into())),
            None => Err(LateResponse::boxed(response)),
        }
    }
}

opaque_debug!(EarlyHeadBody<F, B>);
