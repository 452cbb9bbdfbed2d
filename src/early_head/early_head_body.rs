use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{future::Future, mem, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Extensions, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{LateResponse, late_response::LateEvent};
use crate::connection::CloseReason;
use crate::event::{Encoded, Event};
use crate::idle_timer::is_within_reach;
use crate::options::{StreamOptions, id_line, start_event, with_id};
use crate::signals::{CancelledFor, EarlyHead, FailedInside, Handled};
use crate::signals::{INTERRUPTED, ShutdownWait, StartAt, Stopped};
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
        Streaming { #[pin] body: B, late: LateStream },
        // The service has answered late, with something else.
        Collecting { #[pin] body: B, late: Late },
        // After the event of a late error, no terminator may follow.
        Stopping { head: EarlyHead },
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
                            // Even if empty, this frame lets the layer check whether the call
                            // has added a subject that ends the stream.
                            return Poll::Ready(Some(Ok(Frame::data(first))));
                        }
                        Err(error) => Self::Ending { error: Some(error.into()) },
                    }
                }
                KindProj::Streaming { body, late } => match ready!(late.poll_frame(body, cx)) {
                    Some(Err(error)) if !is_due(&error) => Self::Ending { error: Some(error) },
                    None => Self::Ending { error: None },
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
                        match late.last_event() {
                            Err(error) => Self::Ending { error: Some(error) },
                            Ok(last) => {
                                let stopping = Self::Stopping { head };
                                let over = Self::Ending { error: None };
                                self.set(if is_error { stopping } else { over });
                                return Poll::Ready(Some(Ok(Frame::data(last))));
                            }
                        }
                    }
                },
                // Whether the head is in a layer is checked only now: middleware inside of the
                // layer can read the event before the layer gets the response.
                KindProj::Stopping { head } => {
                    Self::Ending { error: head.ends_for_layer().then(|| Stopped::Told.into()) }
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
    /// Returns the body's next state after this late response, and the bytes to send first.
    fn of(response: Response<B>, waiting: &mut Waiting<F>) -> (Self, Bytes) {
        let head = waiting.head.clone();
        let is_coded = headers::has_content_coding(response.headers());
        let is_stream = response.status().is_success()
            && headers::is_event_stream(response.status(), response.headers());
        let options = response.extensions().get::<StreamOptions>().filter(|_| is_stream);
        let has_drain = options.is_some_and(|options| options.drain.is_some());
        head.answer(response.extensions(), has_drain && !is_coded);
        let (mut parts, body) = response.into_parts();
        if let Some(CancelledFor(client)) = parts.extensions.remove() {
            // The client reconnects after the clean end. With this id, an `EventSource` gets a
            // `204`, and a library a `404`.
            let id = || Encoded::from(Event::new().id(INTERRUPTED)).into();
            let ending = Self::Ending { error: Some(Stopped::Cancelled.into()) };
            return (ending, client.resumes().then(id).unwrap_or_default());
        }
        if is_stream && !is_coded {
            let late = LateStream::new(head, parts.extensions);
            return (Self::Streaming { body, late }, Bytes::new());
        }
        let response = Response::from_parts(parts, BytesMut::new());
        let late_event = waiting.late_event.take().filter(|_| !is_coded);
        let mut late = Late { response, budget: CoopBudget::default(), late_event, head };
        // The body of a coded stream may never end.
        let coded = is_stream.then(|| Self::Ending { error: Some(late.without_body()) });
        (coded.unwrap_or_else(|| Self::Collecting { body, late }), Bytes::new())
    }
}

/// What the body adds to a late event stream, and when the stream must end.
struct LateStream {
    head: EarlyHead,
    /// Set for the stream of an inner layer, and for a refusal. Inside an outer layer, the body
    /// ends with this error instead of cleanly or with trailers, so that no terminator follows.
    handled: Option<Stopped>,
    /// What the answer asks of the layer, until the layer is known: middleware can read the answer
    /// before the layer gets the early head.
    asked: Option<Box<Asked>>,
    /// The bytes of the event `start`, until they are sent.
    start: Bytes,
    /// When the stream must end, and why.
    due: Option<(Instant, CloseReason)>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The layer's shutdown, and how long the stream of a run may go on once the shutdown has
    /// begun.
    drain: Option<(ShutdownWait, Duration)>,
}

struct Asked {
    options: StreamOptions,
    start: Option<StartAt>,
    answered_at: Instant,
}

impl LateStream {
    fn new(head: EarlyHead, mut late: Extensions) -> Self {
        let mut options = late.remove::<StreamOptions>().unwrap_or_default();
        // Without a drain in the answer's options, the layer's drain applies.
        options.drain = options.drain.filter(|_| head.awaits_run());
        let asked = Asked { options, start: late.remove(), answered_at: Instant::now() };
        let handled = late.get().map(|handled| match handled {
            Handled::Stream { .. } => Stopped::Whole,
            Handled::Refused { .. } => Stopped::Refused,
        });
        let (asked, start) = (Some(Box::new(asked)), Bytes::new());
        Self { head, handled, asked, start, due: None, timer: None, drain: None }
    }

    /// Grants what the answer asks for, once the layer is known.
    fn settle(&mut self) {
        let Some(around) = self.head.around() else { return };
        let Some(asked) = self.asked.take() else { return };
        let (Asked { options, start, answered_at }, client) = (*asked, around.client);
        let found = start.filter(|it| {
            let wait_left = around.poll_end.map(|it| it.duration_since(Instant::now()));
            it.note_viewer(client.resumes() && !around.omits_start, wait_left);
            around.repeats_id || it.is_sent_to(client)
        });
        let start = found.map(|it| start_event(it, client, around.omits_start));
        self.start = start.unwrap_or_default();
        let max_age = options.draw_max_age(client);
        self.due = max_age.and_then(|it| in_reach(answered_at, it, CloseReason::Expired));
        let delay = options.drain.and_then(|drain| drain.draw_delay(client));
        self.drain = delay
            .and_then(|delay| Some((ShutdownWait::of(around.ends_with.clone()).settled()?, delay)));
    }

    fn poll_frame<B>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Polled>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        self.settle();
        if let Some((shutdown, delay)) = &mut self.drain
            && shutdown.poll_begun(cx.waker())
        {
            let drained = in_reach(Instant::now(), *delay, CloseReason::Drained);
            self.due = self.due.into_iter().chain(drained).min_by_key(|(at, _)| *at);
            (self.drain, self.timer) = (None, None);
        }
        if let Some((at, reason)) = self.due
            && self.has_come(at, cx)
        {
            self.due = None;
            return Poll::Ready(Some(Err(Stopped::Due(reason).into())));
        }
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.start)))));
        }
        let polled = ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        if let Some(start) = self.asked.as_mut().and_then(|asked| asked.start.as_mut()) {
            // After this frame, the position would send the client back.
            start.id = None;
        }
        let continues = matches!(&polled, Some(Ok(frame)) if !frame.is_trailers());
        Poll::Ready(
            match (polled, self.handled.take_if(|_| !continues && self.head.ends_for_layer())) {
                (polled, None) => polled,
                (Some(Err(error)), Some(_)) => Some(Err(FailedInside(error).into())),
                (_, Some(stopped)) => Some(Err(stopped.into())),
            },
        )
    }

    fn has_come(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // A timer would not elapse before the next millisecond.
        at <= Instant::now() || pin!(coop::unconstrained(timer)).poll(cx).is_ready()
    }
}

fn in_reach(from: Instant, delay: Duration, reason: CloseReason) -> Option<(Instant, CloseReason)> {
    let at = from.checked_add(delay).filter(|at| is_within_reach(*at))?;
    Some((at, reason))
}

/// Returns whether this error makes the layer end the stream at the next point between events.
fn is_due(error: &BoxError) -> bool {
    // The error of a second early head may be inside an error of the web framework.
    matches!(Stopped::cause_of(&**error), Some(Stopped::Due(_)))
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

    fn is_error(&self) -> bool {
        !self.response.status().is_success()
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
                let id_line = self.head.around().and_then(|it| Some(id_line(it.last_id.as_ref()?)));
                Ok(with_id(&Encoded::from(event).into(), id_line.as_ref()))
            }
            None => Err(LateResponse::boxed(response)),
        }
    }
}

opaque_debug!(EarlyHeadBody);
