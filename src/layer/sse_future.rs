use std::task::{Context, Poll, ready};
use std::{future::Future, marker::PhantomData, mem, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{Config, IntoSse, NotOpened, RequestInfo, config::without_body, marker};
use crate::body::{BRIEFLY, Hold, Observation, Opening, SseBody, StreamRecord, StreamState};
use crate::connection::{ClientKind, CloseReason, Disconnect, DisconnectGuard, LastEventId};
use crate::exchange::EarlyHead;
use crate::options::{ResolvedOptions, StreamOptions, id_line};
use crate::shutdown::EndsWith;
use crate::signals::{Handled, NothingMore, StartAt, WasHeld, within_call};
use crate::streams::{Membership, Subjects};
use crate::{BoxError, headers};

pin_project! {
    /// The response future of [`SseService`](super::SseService). If it's dropped before it
    /// completes, it drops the inner service's future and frees the place that a bare stream has
    /// taken in [`max_streams`](crate::SseLayer::max_streams).
    pub struct SseFuture<F, M = marker::Http> {
        #[pin]
        state: FutureState<F>,
        // The compiler infers `M` at the layer, so every type from there to this future has `M`.
        kind: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = FutureStateProj]
    pub(super) enum FutureState<F> {
        Called {
            #[pin]
            future: F,
            completion: Completion,
        },
        // The inner service was not called.
        NotOpened { reason: NotOpened, in_flight: Box<InFlight> },
        // A `204` is held. Its head is taken at the end.
        Held { held: Box<(Response<()>, Option<Hold>)> },
    }
}

/// The state that completes the response of a called service.
// Two words large, because futures are moved several times before they are polled.
pub(super) enum Completion {
    Untracked { config: Arc<Config>, request: RequestInfo },
    InFlight(Box<InFlight>),
}

impl<F, M> SseFuture<F, M> {
    #[inline]
    pub(super) const fn new(state: FutureState<F>) -> Self {
        Self { state, kind: PhantomData }
    }
}

impl<F, M, R, E> Future for SseFuture<F, M>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    type Output = Result<Response<SseBody<R::Body>>, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.as_mut().project().state;
        let (future, completion) = match state.as_mut().project() {
            FutureStateProj::Called { future, completion } => (future, completion),
            FutureStateProj::NotOpened { reason, in_flight } => {
                return Poll::Ready(Ok(in_flight.refuse(Response::new(()), *reason)));
            }
            FutureStateProj::Held { held } => {
                if let Some(hold) = &mut held.1 {
                    ready!(hold.poll(cx));
                }
                return Poll::Ready(Ok(mem::take(&mut held.0).map(|()| SseBody::empty())));
            }
        };
        let (answer, config, request) = match completion {
            Completion::Untracked { config, request } => {
                let answer = ready!(within_call(|| future.poll(cx)).map_ok(|response| {
                    let response = response.into_sse();
                    if may_concern_layer(&response) {
                        return InFlight::new(config, *request).complete(response);
                    }
                    response.map(SseBody::pass_through)
                }));
                (answer, &*config, *request)
            }
            Completion::InFlight(in_flight) => {
                let answer = ready!(poll_in_flight(future, in_flight, cx));
                (answer, &in_flight.config, in_flight.request)
            }
        };
        match answer {
            Ok(response) if is_held(&response, request) => {
                let hold = Hold::briefly(BRIEFLY, config.shutdown_wait());
                let mut head = response.map(drop);
                head.extensions_mut().insert(WasHeld);
                state.set(FutureState::Held { held: Box::new((head, hold)) });
                self.poll(cx)
            }
            answer => Poll::Ready(answer),
        }
    }
}

/// Returns whether a response is a `204`, after which some clients ask again at once. A client that
/// stops at it does nothing else with it.
#[inline]
fn is_held<B>(response: &Response<B>, request: RequestInfo) -> bool {
    response.status() == StatusCode::NO_CONTENT
        && request.client.resumes()
        && !request.is_head
        && response.extensions().get::<WasHeld>().is_none()
}

/// Returns whether a response can be an event stream, or a refusal that is to be counted.
#[inline]
fn may_concern_layer<B>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
        || headers::is_event_stream(response.status(), response.headers())
}

/// Polls the future of a response that has an [`InFlight`].
// Out of line, so that all other responses pay only for the check.
#[cold]
fn poll_in_flight<F, M, R, E>(
    future: Pin<&mut F>,
    in_flight: &mut InFlight,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<SseBody<R::Body>>, E>>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    let poll = || within_call(|| future.poll(cx)).map_ok(IntoSse::into_sse);
    let answer = ready!(in_flight.noting_panic(poll));
    let answer = answer.inspect_err(|_| in_flight.end(CloseReason::Failed));
    Poll::Ready(answer.map(|response| in_flight.complete(response)))
}

opaque_debug!(SseFuture<F, M>);

pub(super) struct InFlight {
    pub(super) config: Arc<Config>,
    pub(super) request: RequestInfo,
    pub(super) subjects: Option<Subjects>,
    pub(super) tracked: Option<Tracked>,
    pub(super) options: Option<StreamOptions>,
    /// The id that the client sent.
    pub(super) last_id: Option<LastEventId>,
    /// The observation of the stream, if an option needs one, until the stream opens.
    pub(super) observation: Option<Box<Observation>>,
}

/// A tracked response. Each variant holds the object to which the response's end is reported.
pub(super) enum Tracked {
    Disconnect(DisconnectGuard),
    /// The record of a stream that opened when the service was called.
    Stream(StreamRecord),
}

impl InFlight {
    fn new(config: &Arc<Config>, request: RequestInfo) -> Self {
        let (config, last_id) = (Arc::clone(config), None);
        let (tracked, subjects, options, observation) = (None, None, None, None);
        Self { config, request, tracked, subjects, options, last_id, observation }
    }

    /// Prepares the `InFlight` of a response. Returns `None` if it would hold nothing: no guard of
    /// a `Disconnect`, no observation, and neither subjects, options nor id of the request.
    #[cold]
    pub(super) fn track<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        mut info: RequestInfo,
    ) -> Option<Box<Self>> {
        let subjects = config.subjects_of(request);
        config.set_client(request, &mut info);
        let options = request.extensions().get().cloned();
        let last_id = request.extensions().get().cloned();
        let guard = if config.track_disconnects { insert_disconnect(request) } else { None };
        let tracked = guard.map(Tracked::Disconnect);
        let observation = config.observe(request);
        let is_untracked = tracked.is_none() && observation.is_none();
        if is_untracked && subjects.is_none() && options.is_none() && last_id.is_none() {
            return None;
        }
        let new = Self::new(config, info);
        Some(Box::new(Self { tracked, subjects, options, last_id, observation, ..new }))
    }

    /// Opens or refuses the stream that the service will return.
    pub(super) fn open<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        mut info: RequestInfo,
    ) -> Result<Box<Self>, (NotOpened, Box<Self>)> {
        config.set_client(request, &mut info);
        let mut new = Box::new(Self::new(config, info));
        new.last_id = request.extensions().get().cloned();
        new.options = request.extensions().get().cloned();
        let permit = match config.admit(info) {
            Ok(permit) => permit,
            Err(reason) => return Err((reason, new)),
        };
        new.subjects = config.subjects_of(request);
        let guard = insert_disconnect(request);
        new.tracked = if info.is_head {
            guard.map(Tracked::Disconnect)
        } else {
            let options = ResolvedOptions::of_stream(&config.options, new.options.clone(), None);
            let observation = config.observe(request);
            Some(Tracked::Stream(config.open(&options, permit, guard, observation)))
        };
        Ok(new)
    }

    /// Calls `call`. If a stream is open and `call` panics, the stream's close reason becomes
    /// [`CloseReason::Panicked`].
    fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.tracked {
            Some(Tracked::Stream(record)) => record.reason.noting_panic(call),
            _ => call(),
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.subjects = None;
        if let Some(Tracked::Stream(mut record)) = self.tracked.take() {
            record.reason = reason;
        }
    }
}

/// Inserts a `Disconnect` into a request, unless an outer layer has done so.
fn insert_disconnect<B>(request: &mut Request<B>) -> Option<DisconnectGuard> {
    let is_tracked = request.extensions().get::<Disconnect>().is_some();
    (!is_tracked).then(|| DisconnectGuard::insert(request.extensions_mut()))
}

/// The decision on a response. A `HEAD` request gets only a stream's headers.
impl InFlight {
    /// Completes a response that was [in flight](poll_in_flight) or [may concern the
    /// layer](may_concern_layer).
    // Out of line, so that all other responses pay only for the check.
    #[cold]
    fn complete<B>(&mut self, mut response: Response<B>) -> Response<SseBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        if !headers::is_event_stream(response.status(), response.headers()) {
            return self.pass(response);
        }
        let options = response.extensions_mut().remove::<StreamOptions>();
        let may_be_refused = response.status() == StatusCode::OK;
        if may_be_refused && !self.request.accepts_stream {
            return self.refuse(response, NotOpened::NotAcceptable);
        }
        if let Some(handled) = response.extensions().get::<Handled>().cloned() {
            return self.pass_handled(response, &handled);
        }
        let nothing_more = response.extensions_mut().remove::<NothingMore>();
        let stops = may_be_refused && self.request.client.resumes();
        if stops && matches!(nothing_more, Some(NothingMore::OfTopics)) {
            // After a `204`, such a client does not reconnect. For runs, `runs/answer.rs` sends the
            // `204`.
            let mut response = without_body(response, StatusCode::NO_CONTENT);
            headers::forbid_storing(response.headers_mut());
            self.end(CloseReason::Ended);
            return response;
        }
        let options =
            ResolvedOptions::of_stream(&self.config.options, self.options.take(), options);
        if self.request.is_head {
            return self.complete_head(response);
        }
        let subjects = self.subjects.take();
        let early = response.extensions_mut().remove::<EarlyHead>();
        self.request.has_drain |= early.as_ref().is_some_and(EarlyHead::has_drain)
            || !options.drain().is_immediate(self.request.client);
        let joined = match subjects {
            Some(_) if options.is_recorded() => Ok(None),
            Some(subjects) => subjects.open(early.as_ref(), may_be_refused),
            None => Ok(None),
        };
        let opened = joined
            .map_err(|()| NotOpened::Limited)
            .and_then(|membership| Ok((membership, self.open_stream(&options, may_be_refused)?)));
        match opened {
            Ok((membership, record)) => {
                self.start_stream(response, options, membership, record, early, nothing_more)
            }
            Err(not_opened) => self.refuse(response, not_opened),
        }
    }

    fn complete_head<B>(&mut self, mut response: Response<B>) -> Response<SseBody<B>> {
        self.config.make_event_stream(response.headers_mut());
        headers::allow_chunks(response.version_mut());
        response.extensions_mut().insert(Handled::Stream { inherited: None, has_drain: false });
        let response = response.map(|_| SseBody::unsent());
        self.end(CloseReason::Ended);
        response
    }

    fn start_stream<B>(
        &mut self,
        mut response: Response<B>,
        options: Arc<ResolvedOptions>,
        membership: Option<Membership>,
        record: StreamRecord,
        early: Option<EarlyHead>,
        nothing_more: Option<NothingMore>,
    ) -> Response<SseBody<B>> {
        let is_coded = headers::has_content_coding(response.headers());
        self.config.make_event_stream(response.headers_mut());
        headers::allow_chunks(response.version_mut());
        let ends_with = EndsWith::of(self.config.shutdown.as_ref());
        let (inherited, has_drain) = (ends_with.inherited(), self.request.has_drain);
        response.extensions_mut().insert(Handled::Stream { inherited, has_drain });
        let client = self.request.client;
        let start = response.extensions_mut().remove::<StartAt>();
        if let Some(start) = &start {
            let needs_event = client.resumes() && !options.merged.omits_defaults;
            start.note_viewer(needs_event, options.max_wait(false));
        }
        let id_line = options.repeats_id(client).then(|| {
            let start_id = start.as_ref().and_then(|start| start.id.as_ref()).map(id_line);
            Box::new(start_id.or_else(|| self.last_id.as_ref().map(id_line)).unwrap_or_default())
        });
        // After a `204`, fetch-event-source would repeat the request every second, forever.
        let is_long = nothing_more == Some(NothingMore::OfTopics) && client == ClientKind::Fetch;
        let held = is_long.then_some(Opening::NothingMore);
        let holds_end = nothing_more.is_some() && !is_long;
        let early = early.map(|head| Opening::Early(head.adopt(self.last_id.take())));
        let opening = early.or(held).or(start.map(Opening::Start)).map(Box::new);
        let mut state =
            StreamState::new(is_coded, options, ends_with, client, membership, record, opening);
        state.id_line = id_line;
        state.holds_end = holds_end;
        response.map(|source| SseBody::event_stream(source, state))
    }

    /// Completes a response that an inner layer has handled.
    ///
    /// A stream with status 200 is refused if this layer's shutdown bars it. Any other stream
    /// inherits this layer's shutdown, unless an inner layer has one.
    fn pass_handled<B: Body>(
        &mut self,
        response: Response<B>,
        handled: &Handled,
    ) -> Response<SseBody<B>> {
        if let Handled::Stream { inherited, has_drain } = handled
            && let Some(shutdown) = &self.config.shutdown
        {
            self.request.has_drain |= has_drain;
            let may_be_refused = response.status() == StatusCode::OK && !self.request.is_head;
            if may_be_refused && self.config.is_barred_by_shutdown(self.request) {
                return self.refuse(response, NotOpened::Unavailable);
            }
            if let Some(inherited) = inherited {
                _ = inherited.set(Arc::clone(shutdown));
            }
        }
        self.pass(response)
    }

    /// Opens the stream of a response, unless it was opened when the service was called.
    fn open_stream(
        &mut self,
        options: &Arc<ResolvedOptions>,
        may_be_refused: bool,
    ) -> Result<StreamRecord, NotOpened> {
        let guard = match self.tracked.take() {
            Some(Tracked::Stream(mut record)) => {
                record.note_head();
                return Ok(record);
            }
            Some(Tracked::Disconnect(guard)) => Some(guard),
            None => None,
        };
        let permit = match self.config.admit(self.request) {
            Ok(permit) => permit,
            Err(_) if !may_be_refused => None,
            Err(not_opened) => {
                self.tracked = guard.map(Tracked::Disconnect);
                return Err(not_opened);
            }
        };
        let mut observation = self.observation.take();
        if let Some(observation) = &mut observation {
            observation.note_head();
        }
        Ok(self.config.open(options, permit, guard, observation))
    }

    pub(super) fn refuse<B, C>(
        &mut self,
        response: Response<B>,
        reason: NotOpened,
    ) -> Response<SseBody<C>> {
        // The source is dropped before the end is reported.
        let last_id = self.last_id.as_ref();
        let refusal = self.config.not_opened(reason, self.request, last_id, response);
        self.end(CloseReason::Ended);
        refusal
    }

    /// Passes through a response that is not a stream of this layer. A tracked response with a body
    /// ends when the body is dropped.
    fn pass<B: Body>(&mut self, mut response: Response<B>) -> Response<SseBody<B>> {
        Handled::count_refusal(response.extensions_mut(), &self.config.stats);
        let has_body = !self.request.is_head && headers::has_body(response.status());
        match self.tracked.take() {
            Some(Tracked::Disconnect(guard)) if has_body => {
                response.map(|body| SseBody::tracked(body, guard))
            }
            tracked => {
                self.tracked = tracked;
                self.end(CloseReason::Ended);
                response.map(SseBody::pass_through)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::SseFuture;

    #[test]
    fn future_is_two_words_larger_than_that_of_the_service() {
        type Inner = [usize; 30];
        assert_eq!(size_of::<SseFuture<Inner>>(), size_of::<Inner>() + 2 * size_of::<usize>());
    }
}
