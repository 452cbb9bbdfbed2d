//! The layer, which sets the headers and wraps the bodies of event streams: [`SseLayer`].
//!
//! A request passes these from the top to the bottom, and its stream goes on in `body/sse_body.rs`:
//!
//! | | |
//! |---|---|
//! | `service.rs` | [`SseService`] records the [`RequestInfo`], and calls the inner service |
//! | `into_sse.rs` | what a service may return, and [`response`], which makes a response of a stream |
//! | `response_future.rs` | [`InFlight`] decides what becomes of the response: a stream, a refusal, `204`, or unchanged |
//! | `refusal.rs` | the answer to a client whose stream may not open |
//! | `config.rs`, `setters.rs` | the options, and the methods that set them |

mod config;
mod into_sse;
mod refusal;
mod response_future;
mod service;
mod setters;

use std::{marker::PhantomData, sync::Arc};

use tower_layer::Layer;

pub use self::into_sse::{AnyStream, IntoSse, marker, response};
pub use self::{refusal::Refusal, response_future::ResponseFuture, service::SseService};

use self::config::{Config, RequestInfo};
use self::response_future::{Completion, FutureState, InFlight};

/// The layer that adds headers, heartbeats, resumption and clean ends to event streams.
///
/// ```no_run
/// use std::{io, time::Duration};
///
/// use axum::{Router, response::IntoResponse, routing::get};
/// use futures_util::stream;
/// use tokio::net::TcpListener;
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
/// #[tokio::main]
/// async fn main() -> io::Result<()> {
///     let layer = SseLayer::new()
///         .retry(Retry::between(Duration::from_secs(1), Duration::from_secs(5)))
///         .max_streams(10_000);
///     let app = Router::new().route("/count", get(count)).layer(layer);
///
///     let listener = TcpListener::bind("127.0.0.1:3000").await?;
///     axum::serve(listener, app).await
/// }
/// ```
///
/// The layer covers the routes that are added before it. The crate's page lists [what the layer
/// changes](crate#what-the-layer-changes) and the [defaults](crate#options) of its options.
///
/// Clones are cheap. Setting an option of a clone does not change the original.
///
/// # Options
///
/// **Stay open**
///
/// - [`heartbeat`](Self::heartbeat) sets what is sent while a stream is idle, and how often.
/// - [`padding`](Self::padding) starts streams with a long comment, for proxies that wait for
///   bytes.
/// - [`without_incremental`](Self::without_incremental) leaves out the header `incremental`.
///
/// **Resume**
///
/// - [`last_event_id_query`](Self::last_event_id_query) accepts the last event id in the query.
/// - [`retry`](Self::retry) sets how long clients wait before they reconnect, and
///   [`without_retry`](Self::without_retry) leaves that to them.
///
/// **End**
///
/// - [`terminator`](Self::terminator) sends a last event, such as `[DONE]`, after a clean end.
/// - [`on_error`](Self::on_error) turns an error of the source into a last event.
/// - [`cancellation_if`](Self::cancellation_if) treats more errors as cancellations.
/// - [`max_age`](Self::max_age) ends old streams, so that their clients reconnect.
/// - [`streams`](Self::streams) lets the program close the streams of a user or session.
///
/// **Shut down**
///
/// - [`shutdown`](Self::shutdown) sets the token that ends all streams.
/// - [`drain`](Self::drain) sets when each stream ends after that.
/// - [`farewell`](Self::farewell) sends an event before the shutdown ends a stream.
///
/// **Limit**
///
/// - [`max_streams`](Self::max_streams) limits how many streams are open at the same time.
/// - [`refusal`](Self::refusal) sets the answer to clients above the limit or during the shutdown.
/// - [`require_accept`](Self::require_accept) answers `406` if the request does not accept an event
///   stream.
///
/// **Observe**
///
/// - [`on_open`](Self::on_open) and [`on_close`](Self::on_close) call closures.
/// - [`stats`](Self::stats) counts streams.
/// - [`timings`](Self::timings) notes the times to the head and to the first event.
/// - [`label`](Self::label) gives streams a label, such as the path of their route.
/// - [`track_disconnects`](Self::track_disconnects) signals to tasks that the response is over.
///
/// [`options`](Self::options) sets several options of streams at once. A request and a response can
/// override them with [`StreamOptions`](crate::StreamOptions) in their extensions; the methods
/// `without_…` of that type turn options off. Of the layer's options, only the heartbeat, the header
/// `incremental` and the reconnection time of an `EventSource` are on by default.
///
/// # Services that return a bare stream
///
/// A service may return a [`Stream`](futures_core::Stream) of events instead of a response. In this
/// example, the layer is inside of `TraceLayer`, and hyper can serve the result:
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
/// # One layer, one kind of service
///
/// You need the [marker] `M` only to name the type, for example in a struct field: `SseLayer` for
/// services that return a response, such as an axum `Router`, and `SseLayer<marker::Events>` for
/// those that return a stream. Elsewhere the compiler infers it from the service that the layer
/// wraps.
///
/// # Runtime
///
/// Event streams need a tokio runtime with its timer enabled. `#[tokio::main]` and
/// [`Builder::enable_time`](tokio::runtime::Builder::enable_time) enable it. Without the timer, a
/// stream panics when it needs it.
#[derive(Debug)]
#[doc(alias = "sse")]
#[doc(alias = "EventSource")]
#[doc(alias = "nginx")]
pub struct SseLayer<M = marker::Http> {
    config: Arc<Config>,
    kind: PhantomData<fn() -> M>,
}

impl<M> SseLayer<M> {
    /// Creates a layer with the default options: it sets the headers, starts the stream of an
    /// `EventSource` with a [reconnection time](Self::retry), and sends a
    /// [heartbeat](Self::heartbeat) while a stream is idle.
    ///
    /// The heartbeats of a layer's streams are aligned to one time grid, so that many of them share
    /// one wake-up of the runtime.
    #[must_use]
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
