use std::{fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::{Config, SseService, marker};

/// The layer that makes event streams correct and operable.
///
/// What it does to a stream, and what it leaves alone, is a table on the [crate's
/// page](crate#what-the-layer-does).
///
/// With its defaults, around the routes of an axum app:
///
/// ```
/// use axum::{Router, response::IntoResponse, routing::get};
/// use futures_util::stream;
/// use tower_sse::{Event, SseLayer};
///
/// async fn events() -> impl IntoResponse {
///     tower_sse::response(stream::iter(["one", "two"].map(Event::from)))
/// }
///
/// let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
/// ```
///
/// Customised, around a service that answers with a bare stream, with another layer outside:
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use futures_util::stream;
/// use http::Request;
/// use tower::ServiceBuilder;
/// use tower_http::trace::TraceLayer;
/// use tower_sse::{Event, Heartbeat, LastEventId, Retry, SseLayer};
///
/// let layer = SseLayer::new()
///     .heartbeat(Heartbeat::every(Duration::from_secs(20)).event("heartbeat", "20"))
///     .retry(Retry::between(Duration::from_secs(1), Duration::from_secs(5)))
///     .last_event_id_query("lastEventId")
///     .on_error(|_| Event::new().event("failed").data("internal error"))
///     .terminator("[DONE]");
///
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
/// # One value, one kind of service
///
/// The marker `M` is what the services inside answer with; see [`IntoSse`](crate::IntoSse). The
/// compiler infers it from the first use of a value; a value that is not used yet needs its type.
/// Where the type is written, as in a field of a struct, `SseLayer` is `SseLayer<marker::Http>`: for
/// services that answer with an [`http::Response`] of a body, such as an axum `Router`.
///
/// # Runtime
///
/// Event streams need a tokio runtime whose timer is enabled, as `#[tokio::main]` and
/// [`Builder::enable_time`](tokio::runtime::Builder::enable_time) do. On one without a timer a stream
/// panics as soon as it needs one: when it falls silent or fails, has a greatest age or is drained. So does a
/// stream that outlives its runtime.
///
/// Outside of any runtime there are no timers: no heartbeats and no greatest age but zero, a shutdown ends
/// streams at once whatever [`Drain`](crate::Drain) says, without bound on a source amid an event, and a body fails
/// without delay. With feature `tracing` there is a WARN line for each stream that misses one.
///
/// Cloning is cheap, and setting an option of a clone leaves the original as it was.
#[doc(alias = "sse")]
#[doc(alias = "EventSource")]
#[doc(alias = "nginx")]
pub struct SseLayer<M = marker::Http> {
    config: Arc<Config>,
    kind: PhantomData<fn() -> M>,
}

impl<M> SseLayer<M> {
    /// A layer with the defaults: the headers, and a heartbeat after 15 seconds of silence.
    ///
    /// The deadlines of all its streams are rounded up to one grid, which begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { config: Arc::new(Config::new()), kind: PhantomData }
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S, M> Layer<S> for SseLayer<M> {
    type Service = SseService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        SseService::new(inner, Arc::clone(&self.config))
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

impl<M> fmt::Debug for SseLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseLayer").field("config", &self.config).finish()
    }
}
