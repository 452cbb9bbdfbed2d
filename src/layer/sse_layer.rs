use std::task::{Context, Poll};
use std::{marker::PhantomData, sync::Arc};

use http::{Extensions, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{Completion, Config, FutureState, InFlight, IntoSse, RequestInfo, SseFuture, marker};
use crate::connection::{HeaderScan, LastEventId};
use crate::{body::SseBody, options::StreamOptions, streams::Subjects};

/// The layer that adds headers and heartbeats to event streams, reads the last event id, and
/// controls how streams end.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, response::IntoResponse, routing::get};
/// use futures_util::stream;
/// use tower_sse::{Event, LastEventId, Retry, SseLayer};
///
/// # #[cfg(feature = "axum")]
/// async fn count(last: Option<LastEventId>) -> impl IntoResponse {
///     let last = last.and_then(|last| last.parse().ok());
///     let next = last.map_or(1, |last: u64| last.saturating_add(1));
///     tower_sse::response(stream::iter((next..=100).map(|n| Event::new().id(n).data("…"))))
/// }
/// # #[cfg(not(feature = "axum"))]
/// # async fn count() {}
///
/// let layer = SseLayer::new()
///     .retry(Retry::between(Duration::from_secs(1), Duration::from_secs(5)))
///     .max_streams(10_000);
/// let app: Router = Router::new().route("/count", get(count)).layer(layer);
/// ```
///
/// In an axum `Router`, the layer covers the routes that are added before it and [changes the
/// headers](crate#what-the-layer-changes) of their event streams. The *source* of an event stream
/// is the body or the stream that the service returns.
///
/// The body `B` of the service's responses must have `Data = Bytes`, and an error that converts
/// into a [`BoxError`](crate::BoxError). The layer's responses all have the body type
/// [`SseBody<B>`](crate::layer::SseBody).
///
/// Setting an option on a clone doesn't change the original.
///
/// # Options
///
/// - **Stay open**: [`heartbeat`](Self::heartbeat), [`padding`](Self::padding),
///   [`incremental`](Self::incremental)
/// - **Resume**: [`for_pages`](Self::for_pages),
///   [`last_event_id_query`](Self::last_event_id_query),
///   [`long_poll_query`](Self::long_poll_query), [`retry`](Self::retry),
///   [`client_kind`](Self::client_kind)
/// - **End**: [`terminator`](Self::terminator), [`on_error`](Self::on_error),
///   [`cancellation_if`](Self::cancellation_if), [`max_age`](Self::max_age),
///   [`streams`](Self::streams)
/// - **Shut down**: [`shutdown`](Self::shutdown), [`drain`](Self::drain),
///   [`farewell`](Self::farewell)
/// - **Limit**: [`max_streams`](Self::max_streams), [`refusal`](Self::refusal),
///   [`require_accept`](Self::require_accept)
/// - **Observe**: [`on_open`](Self::on_open), [`on_close`](Self::on_close), [`stats`](Self::stats),
///   [`timings`](Self::timings), [`label`](Self::label),
///   [`track_disconnects`](Self::track_disconnects)
///
/// [`StreamOptions`](crate::StreamOptions) can override some of these for a request or a response.
/// Only the heartbeat, the header `incremental` and the reconnection time of an
/// [`EventSource`](crate::guide::clients#how-clients-reconnect) are on by default.
///
/// # Services that return a bare stream
///
/// A service may return a [`Stream`](futures_core::Stream) of events, which the layer turns into a
/// response. With the layer, the service is an HTTP service, so `TraceLayer` can wrap it and hyper
/// can serve it:
///
/// ```
/// use std::convert::Infallible;
///
/// use futures_util::stream;
/// use http::Request;
/// use tower::ServiceBuilder;
/// use tower_http::trace::TraceLayer;
/// use tower_sse::{Event, LastEventId, SseLayer};
///
/// let layer = SseLayer::new().last_event_id_query("lastEventId").terminator("[DONE]");
/// let service = ServiceBuilder::new().layer(TraceLayer::new_for_http()).layer(layer).service_fn(
///     async |request: Request<hyper::body::Incoming>| {
///         let last = request.extensions().get::<LastEventId>().and_then(|last| last.parse().ok());
///         let next = last.map_or(0, |last: u64| last.saturating_add(1));
///         Ok::<_, Infallible>(stream::iter((next..100).map(|n| Event::new().id(n).data("…"))))
///     },
/// );
/// # fn assert_service<S: tower::Service<Request<hyper::body::Incoming>>>(_: S) {}
/// # assert_service(service);
/// ```
///
/// Don't return a hub's subscription as a bare stream. Only [its own
/// `response`](crate::hub::Subscription::response) can stop an `EventSource` with `204`.
///
/// # One layer, one kind of service
///
/// The compiler infers the [marker] `M` from the service. If you name the layer's type, for example
/// in a struct field, you choose the marker yourself. `SseLayer` is for services, such as an axum
/// `Router`, that return a response with a body of bytes. `SseLayer<marker::Events>` is for
/// services that return a bare stream.
///
/// # Panics
///
/// Event streams, refusals with `200` and answers with `204` need a tokio runtime with timers
/// enabled, for example by `#[tokio::main]`.
/// Otherwise, the body panics when it needs a timer. With the default options, that's as soon as it
/// waits for the source, or when the source fails.
#[derive(Debug)]
#[doc(alias = "sse")]
#[doc(alias = "EventSource")]
#[doc(alias = "nginx")]
#[must_use]
pub struct SseLayer<M = marker::Http> {
    config: Arc<Config>,
    kind: PhantomData<fn() -> M>,
}

impl<M> SseLayer<M> {
    /// Creates a layer with the default options.
    pub fn new() -> Self {
        Self { config: Arc::default(), kind: PhantomData }
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S, M> Layer<S> for SseLayer<M> {
    type Service = SseService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let (config, tracks_all) = (Arc::clone(&self.config), self.config.tracks_all());
        SseService { inner, config, tracks_all, kind: PhantomData }
    }
}

impl<M> Default for SseLayer<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for SseLayer<M> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), kind: PhantomData }
    }
}

/// The middleware that [`SseLayer`] wraps around a service.
///
/// It is ready when the inner service is ready, and its errors are those of the inner service.
#[derive(Debug)]
pub struct SseService<S, M = marker::Http> {
    inner: S,
    config: Arc<Config>,
    tracks_all: bool,
    kind: PhantomData<fn() -> M>,
}

impl<S, M> SseService<S, M> {
    inner_service_accessors!();
}

impl<S, M, B> Service<Request<B>> for SseService<S, M>
where
    S: Service<Request<B>, Response: IntoSse<M>>,
{
    type Response = Response<SseBody<<S::Response as IntoSse<M>>::Body>>;
    type Error = S::Error;
    type Future = SseFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let scan = HeaderScan::of(request.headers());
        if scan.has_last_event_id || !self.config.last_event_id_query.is_empty() {
            self.config.insert_last_event_id(&mut request);
        }
        if let Some(name) = &self.config.long_poll_query {
            self.config.set_long_poll(&mut request, name);
        }
        let info = RequestInfo::new(&self.config, request.method(), request.headers(), scan);
        // `STREAMS` is a constant, so for a service without bare streams, the compiler drops the
        // code that refuses before the call. If it kept this second path that returns a future, it
        // would copy the future's code.
        let in_flight = if S::Response::STREAMS {
            match InFlight::open(&self.config, &mut request, info) {
                Ok(in_flight) => Some(in_flight),
                Err((reason, in_flight)) => {
                    return SseFuture::new(FutureState::NotOpened { reason, in_flight });
                }
            }
        } else if self.tracks_all || concerns_stream(request.extensions()) {
            InFlight::track(&self.config, &mut request, info)
        } else {
            None
        };
        let future = self.inner.call(request);
        // Cloned after the call, so that a panic in the call has no clone to drop.
        let completion = match in_flight {
            Some(in_flight) => Completion::InFlight(in_flight),
            None => Completion::Untracked { config: Arc::clone(&self.config), request: info },
        };
        SseFuture::new(FutureState::Called { future, completion })
    }
}

/// Returns whether a request has an extension that concerns its stream.
#[inline]
fn concerns_stream(extensions: &Extensions) -> bool {
    extensions.get::<Subjects>().is_some()
        || extensions.get::<StreamOptions>().is_some()
        || extensions.get::<LastEventId>().is_some()
}

impl<S: Clone, M> Clone for SseService<S, M> {
    fn clone(&self) -> Self {
        let config = Arc::clone(&self.config);
        Self { inner: self.inner.clone(), config, tracks_all: self.tracks_all, kind: PhantomData }
    }
}
