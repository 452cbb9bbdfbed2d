use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{future::Future, mem};

use bytes::{Bytes, BytesMut};
use http::{Extensions, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{LateResponse, late_response::LateEvent};
use crate::connection::CloseReason;
use crate::idle_timer::is_within_reach;
use crate::options::{StreamOptions, start_event};
use crate::signals::{EarlyHead, FailedInside, Handled, StartAt, Stopped};
use crate::{BoxError, body::warn_without_layer, callback::catch_panic};
use crate::{coop::CoopBudget, event::Encoded, headers};

/// The body of an [`EarlyHeadService`](super::EarlyHeadService)'s responses. After an early head, it
/// polls the inner service's call, and then the body of the late response. Dropping it drops both.
/// The default body is empty.
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
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), |body| body.size_hint())
    }
}

pin_project! {
    #[project = KindProj]
    pub(super) enum Kind<F, B> {
        // The service has answered in time.
        Passing { #[pin] body: B },
        Waiting { waiting: Box<Waiting<F>> },
        // The service has answered late, with an event stream.
        Streaming { #[pin] body: B, late: LateStream },
        // The service has answered late, with something else.
        Collecting { #[pin] body: B, late: Late },
        // After the event of a late error, no terminator may follow.
        Stopping { head: EarlyHead },
        Ending { error: Option<BoxError> },
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
                            let late = Self::of(response, waiting);
                            self.set(late);
                            // The call may have added a subject that ends the stream: the layer
                            // looks before it asks for the first bytes.
                            return Poll::Ready(Some(Ok(Frame::data(Bytes::new()))));
                        }
                        Err(error) => Self::Ending { error: Some(error.into()) },
                    }
                }
                KindProj::Streaming { body, late } => match ready!(late.poll_frame(body, cx)) {
                    Some(Err(error)) if !is_due(&error) => Self::Ending { error: Some(error) },
                    polled => return Poll::Ready(polled),
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
                    None => {
                        let (is_error, head) = (late.is_error(), late.head.clone());
                        match late.last_frame() {
                            Err(error) => Self::Ending { error: Some(error) },
                            Ok(last) => {
                                let stopping = Self::Stopping { head };
                                let over = Self::Ending { error: None };
                                self.set(if is_error { stopping } else { over });
                                return Poll::Ready(Some(Ok(last)));
                            }
                        }
                    }
                },
                // Asked only now: middleware can read the event before the layer has the head.
                KindProj::Stopping { head } => {
                    Self::Ending { error: head.is_layered().then(|| Stopped::Told.into()) }
                }
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
    /// Returns the rest of the body after this late response.
    fn of(response: Response<B>, waiting: &mut Waiting<F>) -> Self {
        let head = waiting.head.clone();
        head.answer(response.extensions());
        let (parts, body) = response.into_parts();
        let is_coded = headers::has_content_coding(&parts.headers);
        let is_stream =
            parts.status.is_success() && headers::is_event_stream(parts.status, &parts.headers);
        if is_stream && !is_coded {
            return Self::Streaming { body, late: LateStream::new(head, parts.extensions) };
        }
        let response = Response::from_parts(parts, BytesMut::new());
        let late_event = waiting.late_event.take().filter(|_| !is_coded);
        let mut late = Late { response, budget: CoopBudget::default(), late_event, head };
        // It may never end.
        if is_stream {
            return Self::Ending { error: Some(late.without_body()) };
        }
        Self::Collecting { body, late }
    }
}

/// What is added to a late event stream, and its end.
struct LateStream {
    head: EarlyHead,
    /// Set for the stream of an inner layer, and for a refusal. No terminator may follow, so its
    /// trailers are dropped.
    handled: Option<Stopped>,
    /// The bytes of the event `start`, until they are sent.
    start: Bytes,
    /// When the stream reaches the maximum age of its answer.
    expires_at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl LateStream {
    fn new(head: EarlyHead, mut late: Extensions) -> Self {
        let (mut start, mut expires_at) = (Bytes::new(), None);
        if let Some(around) = head.around() {
            let found = StartAt::take(&mut late, around.client);
            start = found.map(|it| start_event(it, around.omits_start)).unwrap_or_default();
            let max_age = late.remove().and_then(|options: StreamOptions| options.max_age);
            let age = max_age.map(|max_age| max_age.draw(around.client));
            expires_at = age.and_then(|age| Instant::now().checked_add(age));
        }
        let handled = late.get().map(|handled| match handled {
            Handled::Stream(_) => Stopped::Whole,
            Handled::Refused { .. } => Stopped::Refused,
        });
        let expires_at = expires_at.filter(|at| is_within_reach(*at));
        Self { head, handled, start, expires_at, timer: None }
    }

    fn poll_frame<B>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Polled>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        if self.poll_expired(cx).is_ready() {
            self.expires_at = None;
            return Poll::Ready(Some(Err(Stopped::Due(CloseReason::Expired).into())));
        }
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.start)))));
        }
        let polled = ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        let continues = matches!(&polled, Some(Ok(frame)) if !frame.is_trailers());
        Poll::Ready(
            match (polled, self.handled.take_if(|_| !continues && self.head.is_layered())) {
                (polled, None) => polled,
                (Some(Err(error)), Some(_)) => Some(Err(FailedInside(error).into())),
                (_, Some(stopped)) => Some(Err(stopped.into())),
            },
        )
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.expires_at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // A timer would not elapse before the next millisecond.
        if at <= Instant::now() {
            Poll::Ready(())
        } else {
            pin!(coop::unconstrained(timer)).poll(cx)
        }
    }
}

/// Returns whether the layer ends the stream at the next point between events.
fn is_due(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(Stopped::Due(_)))
}

/// A late answer that is not an event stream.
struct Late {
    response: Response<BytesMut>,
    budget: CoopBudget,
    late_event: Option<LateEvent>,
    head: EarlyHead,
}

/// The limit in bytes of a late answer that can become an event.
const MAX_LATE: usize = 64 << 10;

impl Late {
    /// Adds a frame. Returns `false` if the body becomes too large.
    fn take_in(&mut self, frame: Frame<Bytes>) -> bool {
        let data = frame.into_data().unwrap_or_default();
        let body = self.response.body_mut();
        let fits = body.len() + data.len() <= MAX_LATE;
        if fits {
            body.extend_from_slice(&data);
        }
        fits
    }

    fn is_error(&self) -> bool {
        !self.response.status().is_success()
    }

    fn without_body(&mut self) -> BoxError {
        LateResponse::boxed(mem::take(&mut self.response).map(|_| Bytes::new()))
    }

    /// Returns the event for the response, or the error with which the body fails.
    fn last_frame(&mut self) -> Result<Frame<Bytes>, BoxError> {
        let response = mem::take(&mut self.response).map(BytesMut::freeze);
        let to_event = self.late_event.take();
        let event = to_event.and_then(|it| catch_panic(|| it(&response)?.dispatched()).flatten());
        match event {
            Some(event) => Ok(Frame::data(Encoded::from(event).into())),
            None => Err(LateResponse::boxed(response)),
        }
    }
}

opaque_debug!(EarlyHeadBody);
