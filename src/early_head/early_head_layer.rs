use std::task::{Context, Poll};
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{EarlyHeadBody, EarlyHeadFuture, late_response::LateEvent};
use crate::connection::{ClientKind, LastEventId, names_event_stream};
use crate::event::Event;
use crate::signals::REFUSED_LATE;
use crate::{BoxError, callback::with_head, exchange::EarlyHead, options::StreamOptions};

/// Decides by a request's head whether the request can get an early head.
type Condition = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// A layer that sends the head of an event stream if the service has not answered in time. If the
/// service then answers with an event stream, its events follow in the body.
///
/// Put this layer inside of [`SseLayer`](crate::SseLayer), which sends heartbeats. See the
/// [module](crate::early_head) for what a client receives.
#[derive(Clone)]
pub struct EarlyHeadLayer {
    after: Duration,
    when: Option<Condition>,
    late_event: Option<LateEvent>,
}

impl EarlyHeadLayer {
    /// Creates a layer that sends the head if the service hasn't answered within `after`.
    ///
    /// Both `after` and the interval of the [heartbeat](crate::SseLayer::heartbeat) must be at
    /// least a tenth shorter than the shortest timeout of your proxies. 10 seconds works with the
    /// defaults of nginx (60 seconds), Heroku (30 seconds) and Cloudflare (100 to 120 seconds).
    ///
    /// # Panics
    ///
    /// For a request that can get an early head, poll the response future in a tokio runtime with
    /// timers enabled. Otherwise, the future panics once it has to wait.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self { after, when: None, late_event: None }
    }

    /// Sets which requests can get an early head. By default, these are `GET` requests whose
    /// `Accept` names `text/event-stream`.
    ///
    /// Return `true` only if the client expects an event stream: after an early head, the client
    /// gets a stream even if the answer is JSON. To decide based on the request's body, call
    /// [`answer`](Self::answer) in the handler. A request gets no early head if `when` panics, or
    /// if the method is `HEAD`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse::early_head::EarlyHeadLayer;
    /// let layer = EarlyHeadLayer::new(Duration::from_secs(10))
    ///     .when(|request| request.uri.path().starts_with("/stream/"));
    /// ```
    #[must_use]
    pub fn when<F>(mut self, when: F) -> Self
    where
        F: Fn(&Parts) -> bool + Send + Sync + 'static,
    {
        self.when = Some(Arc::new(when));
        self
    }

    /// Turns a late answer that is not a `2xx` event stream into an event. By default, the body
    /// fails with a [`LateResponse`](super::LateResponse).
    ///
    /// An event without an id repeats the client's. After the event, the stream ends cleanly. The
    /// body fails instead if `to_event` panics, returns `None`, or returns an event with neither
    /// data nor a name. It also fails, without a call, if the answer is larger than 64 KiB or has a
    /// content coding, if the answer's body fails, or if the service returns an error. If the
    /// answer is that of a cancelled [run](crate::runs), the stream ends cleanly, and `to_event`
    /// isn't called.
    ///
    /// An `EventSource` reconnects afterwards. To prevent this, give the event a name and have the
    /// page call `close()` when the event arrives.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse::{Event, early_head::EarlyHeadLayer};
    /// let layer = EarlyHeadLayer::new(Duration::from_secs(10)).late_event(|late| {
    ///     let body = String::from_utf8(late.body().to_vec()).ok()?;
    ///     Some(Event::new().event(if late.status().is_success() { "answer" } else { "failed" }).data(body))
    /// });
    /// ```
    #[must_use]
    pub fn late_event<F>(mut self, to_event: F) -> Self
    where
        F: Fn(&Response<Bytes>) -> Option<Event> + Send + Sync + 'static,
    {
        self.late_event = Some(Arc::new(to_event));
        self
    }

    /// Answers with the response of `call`, or with an early head if `call` takes too long.
    ///
    /// Use this method if you need the [request's body](crate::early_head#which-requests) to know
    /// whether the client expects a stream. Add an [`SseLayer`](crate::SseLayer) to the route, but
    /// not the `EarlyHeadLayer`.
    ///
    /// `answer` can't stop an `EventSource` that gets a late `204` or `4xx`: the client reconnects,
    /// and your handler runs again.
    ///
    /// Inside of a [`RunLayer`](crate::runs::RunLayer), the [`StreamOptions`](crate::StreamOptions)
    /// of a late answer are lost. Instead, add them to the response that `answer` returns. The
    /// `SseLayer` can refuse the early head, for example at
    /// [`max_streams`](crate::SseLayer::max_streams). A run that `call` has started continues even
    /// then, and a shutdown doesn't wait for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `call`, as does dropping the response's body.
    pub fn answer<F, B>(&self, call: F) -> impl Future<Output = Response<EarlyHeadBody>> + use<F, B>
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let call = async move { Ok::<_, Infallible>(call.await) };
        let answer = self.race(call, EarlyHead::default());
        async move {
            let Ok(response) = answer.await;
            response
        }
    }

    /// Returns whether a request can get an early head.
    #[inline]
    fn can_wait<B>(&self, request: &mut Request<B>) -> bool {
        let can_wait = match &self.when {
            None if *request.method() != Method::GET => false,
            None => names_event_stream(request.headers()),
            Some(_) if *request.method() == Method::HEAD => false,
            Some(when) => with_head(request, |parts| when(parts)).unwrap_or_default(),
        };
        // An outer layer of this kind may already wait for the answer.
        can_wait && request.extensions().get::<EarlyHead>().is_none()
    }

    // Out of line, so that all other requests pay only for the check.
    #[cold]
    fn race<F>(&self, call: F, head: EarlyHead) -> EarlyHeadFuture<F> {
        EarlyHeadFuture::racing(call, self.after, self.late_event.clone(), head)
    }
}

impl<S> Layer<S> for EarlyHeadLayer {
    type Service = EarlyHeadService<S>;

    fn layer(&self, inner: S) -> EarlyHeadService<S> {
        EarlyHeadService { inner, layer: self.clone() }
    }
}

opaque_debug!(EarlyHeadLayer);

/// The middleware that an [`EarlyHeadLayer`] wraps around a service.
///
/// It is ready when the inner service is ready, and its errors are those of the inner service.
#[derive(Clone)]
pub struct EarlyHeadService<S> {
    inner: S,
    layer: EarlyHeadLayer,
}

impl<S> EarlyHeadService<S> {
    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for EarlyHeadService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<EarlyHeadBody>;
    type Error = S::Error;
    type Future = EarlyHeadFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut head = None;
        if self.layer.can_wait(&mut request) {
            if was_stopped(&request) {
                return EarlyHeadFuture::stopped();
            }
            let early = head.insert(EarlyHead::default());
            request.extensions_mut().insert(early.clone());
        }
        // A single call, because the compiler copies the future's code for each call.
        let call = self.inner.call(request);
        match head {
            None => EarlyHeadFuture::passing(call),
            Some(head) => self.layer.race(call, head),
        }
    }
}

/// Returns whether an `EventSource` comes back after a late answer that was to stop it.
fn was_stopped<B>(request: &Request<B>) -> bool {
    let (method, headers) = (request.method(), request.headers());
    let client = StreamOptions::client_or(request.extensions(), ClientKind::of(method, headers));
    let last = LastEventId::of(request.extensions(), headers);
    last.is_some_and(|last| last.as_str() == REFUSED_LATE) && client == ClientKind::EventSource
}

opaque_debug!(EarlyHeadService<S>);
