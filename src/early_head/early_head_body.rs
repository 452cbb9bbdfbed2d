use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{future::Future, mem};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::{LateResponse, late_response::LateEvent};
use crate::event::{Encoded, Event};
use crate::exchange::{EarlyHead, LateEnd};
use crate::options::{id_line, with_id};
use crate::signals::{CancelledFor, Handled, REFUSED_LATE, Stopped};
use crate::{BoxError, body::warn_without_layer, callback::catch_panic, coop::CoopBudget, headers};

/// The body of the responses of an [`EarlyHeadService`](super::EarlyHeadService), and of
/// [`EarlyHeadLayer::answer`](super::EarlyHeadLayer::answer). After an early head, it polls the
/// call of the inner service or of `answer`, and then the body of the late response. Dropping it
/// drops the call or the late response's body. The default body is empty.
#[derive(Default)]
pub struct EarlyHeadBody {
    body: Option<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>>,
}

impl EarlyHeadBody {
    pub(super) fn new(body: impl Body<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self { body: Some(Box::pin(body)) }
    }
}

impl Body for EarlyHeadBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| body.as_mut().poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

pin_project! {
    #[project = KindProj]
    pub(super) enum Kind<F, B> {
        // The service has answered in time.
        Passing { #[pin] body: B },
        Waiting { waiting: Box<Waiting<F>> },
        // The service has answered late, with an event stream.
        Streaming { #[pin] body: B, head: EarlyHead },
        // The service has answered late, with something else.
        Collecting { #[pin] body: B, late: Late },
        Ending { error: Option<BoxError> },
    }
}

/// A call whose head is sent early, unless the call answers in time.
pub(super) struct Waiting<F> {
    // Boxed, because the call moves into the body after `EarlyHeadFuture` has polled it.
    pub(super) call: Pin<Box<F>>,
    pub(super) late_event: Option<LateEvent>,
    pub(super) head: EarlyHead,
    /// When the head is sent. `None` if that time is too far away for a timer, so that no head is
    /// sent early.
    pub(super) due: Option<Instant>,
    /// `None` until the first poll has shown that the call has no answer yet.
    pub(super) sleep: Option<Pin<Box<Sleep>>>,
}

type Polled = Option<Result<Frame<Bytes>, BoxError>>;

impl<F, B, E> Body for Kind<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            let next = match self.as_mut().project() {
                KindProj::Passing { body } => return body.poll_frame(cx).map_err(Into::into),
                KindProj::Waiting { waiting } => {
                    warn_without_layer();
                    match ready!(waiting.call.as_mut().poll(cx)) {
                        Ok(response) => {
                            let (late, first) = Self::of(response, waiting);
                            self.set(late);
                            // Even if empty, this frame ends the wait of middleware that reads a
                            // first frame before it passes the head on.
                            return Poll::Ready(Some(Ok(Frame::data(first))));
                        }
                        Err(error) => Self::Ending { error: Some(error.into()) },
                    }
                }
                KindProj::Streaming { body, head } => match ready!(body.poll_frame(cx)) {
                    Some(Err(error)) => Self::Ending { error: Some(error.into()) },
                    None => Self::Ending { error: None },
                    Some(Ok(frame)) => {
                        head.note_frame();
                        return Poll::Ready(Some(Ok(frame)));
                    }
                },
                KindProj::Collecting { body, late } => match ready!(body.poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if late.take_in(frame) {
                            ready!(late.budget.poll_empty(cx));
                            continue;
                        }
                        Self::Ending { error: Some(late.without_body()) }
                    }
                    Some(Err(error)) => Self::Ending { error: Some(error.into()) },
                    None => match late.last_event() {
                        Err(error) => Self::Ending { error: Some(error) },
                        Ok(last) => {
                            self.set(Self::Ending { error: None });
                            return Poll::Ready(Some(Ok(Frame::data(last))));
                        }
                    },
                },
                KindProj::Ending { error } => return Poll::Ready(error.take().map(Err)),
            };
            self.set(next);
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passing { body } => body.is_end_stream(),
            Self::Ending { error } => error.is_none(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passing { body } => body.size_hint(),
            Self::Ending { error: None } => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl<F, B> Kind<F, B> {
    /// Returns the body's next state after this late response, and the bytes to send first.
    fn of(response: Response<B>, waiting: &mut Waiting<F>) -> (Self, Bytes) {
        let is_coded = headers::has_content_coding(response.headers());
        let is_stream = response.status().is_success()
            && headers::is_event_stream(response.status(), response.headers());
        let passes = is_stream && !is_coded;
        let (mut parts, body) = response.into_parts();
        let cancelled = parts.extensions.remove();
        let end = match (&cancelled, parts.extensions.get()) {
            (Some(CancelledFor(_)), _) => LateEnd::Stopped(Stopped::Cancelled),
            // No terminator may follow the event of a late error.
            _ if !passes && !parts.status.is_success() => LateEnd::Stopped(Stopped::Told),
            (_, Some(Handled::Stream { .. })) if passes => LateEnd::Inner,
            (_, Some(Handled::Refused { .. })) if passes => LateEnd::Stopped(Stopped::Refused),
            _ => LateEnd::Own,
        };
        waiting.head.answer(&mut parts.extensions, passes, end);
        if let Some(CancelledFor(client)) = cancelled {
            // The client reconnects after the clean end. With this id, an `EventSource` gets a
            // `204` at once, and a library what the handler answers.
            let id = || Encoded::from(Event::new().id(REFUSED_LATE)).into();
            return (Self::Ending { error: None }, client.resumes().then(id).unwrap_or_default());
        }
        if passes {
            return (Self::Streaming { body, head: waiting.head.clone() }, Bytes::new());
        }
        let response = Response::from_parts(parts, BytesMut::new());
        let late_event = waiting.late_event.take().filter(|_| !is_coded);
        let head = waiting.head.clone();
        let mut late = Late { response, budget: CoopBudget::default(), late_event, head };
        // The body of a coded stream may never end.
        let coded = is_stream.then(|| Self::Ending { error: Some(late.without_body()) });
        (coded.unwrap_or_else(|| Self::Collecting { body, late }), Bytes::new())
    }
}

/// A late answer that is not passed on as an event stream.
struct Late {
    response: Response<BytesMut>,
    budget: CoopBudget,
    late_event: Option<LateEvent>,
    head: EarlyHead,
}

/// The limit in bytes of a late answer that can become an event.
const MAX_LATE: usize = 64 << 10;

impl Late {
    /// Adds a frame's data. Returns `false` and adds nothing if the body would become too large.
    fn take_in(&mut self, frame: Frame<Bytes>) -> bool {
        let data = frame.into_data().unwrap_or_default();
        let body = self.response.body_mut();
        let fits = body.len() + data.len() <= MAX_LATE;
        if fits {
            body.extend_from_slice(&data);
        }
        fits
    }

    fn without_body(&mut self) -> BoxError {
        LateResponse::boxed(mem::take(&mut self.response).map(|_| Bytes::new()))
    }

    /// Returns the event for the response, or the error with which the body fails.
    fn last_event(&mut self) -> Result<Bytes, BoxError> {
        let response = mem::take(&mut self.response).map(BytesMut::freeze);
        let to_event = self.late_event.take();
        let event = to_event.and_then(|it| catch_panic(|| it(&response)?.dispatched()).flatten());
        match event {
            Some(event) => {
                let id_line = self.head.last_id().map(id_line);
                Ok(with_id(&Encoded::from(event).into(), id_line.as_ref()))
            }
            None => Err(LateResponse::boxed(response)),
        }
    }
}

opaque_debug!(EarlyHeadBody);
