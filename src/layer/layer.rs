use std::{error::Error, fmt, marker::PhantomData, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

use super::{Config, Refusal, SseService, marker};
use crate::stats::Stats;

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
///     .last_event_id_query(["lastEventId"])
///     .on_error(|_| Event::new().event("failed").data("internal error"))
///     .terminator(Event::from("[DONE]"));
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

    /// Lets open streams end once `token` is cancelled, as [`drain`](Self::drain) says, and
    /// [refuses](Self::refusal) new ones from then on; but a call, a request by any method other than `GET`,
    /// that a service has been working on since before is answered. It reaches streams of layers further in that
    /// have no shutdown of their own. By default nothing ends them: the graceful
    /// shutdown of axum or hyper, which waits for every body, waits for ever.
    ///
    /// Cancel the same token that tells the server to shut down. A client that does not read cannot be
    /// ended this way: hyper does not poll its body. So give the graceful shutdown a deadline:
    ///
    /// ```no_run
    /// use std::{io, time::Duration};
    ///
    /// use axum::Router;
    /// use tokio::net::TcpListener;
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::SseLayer;
    ///
    /// # async fn serve(router: Router, listener: TcpListener) -> io::Result<()> {
    /// let shutdown = CancellationToken::new();
    /// let app = router.layer(SseLayer::new().shutdown(shutdown.clone()));
    /// tokio::spawn({
    ///     let shutdown = shutdown.clone();
    ///     async move {
    ///         if tokio::signal::ctrl_c().await.is_ok() {
    ///             shutdown.cancel();
    ///         }
    ///     }
    /// });
    ///
    /// let server = axum::serve(listener, app)
    ///     .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    /// tokio::select! {
    ///     served = server => served,
    ///     () = async {
    ///         shutdown.cancelled().await;
    ///         tokio::time::sleep(Duration::from_secs(40)).await;
    ///     } => Ok(()),
    /// }
    /// # }
    /// ```
    ///
    /// Recipes for hyper and tonic are on the page [operating](crate::operating#graceful-shutdown).
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.config_mut().shutdown = Some(token);
        self
    }

    /// Opens at most so many streams at a time, through all services that this value and its clones
    /// make; what comes while they are open is [refused](Self::refusal). No limit by default.
    ///
    /// A stream keeps its place from its head, or for services that answer with a bare stream from the
    /// call, until it has closed, however that happens. `ConcurrencyLimit` of tower frees its permit at
    /// the head. Streams with a status other than 200 are not refused; they take a place if there is one.
    ///
    /// A client that does not read keeps its places: neither [`max_age`](Self::max_age) nor the
    /// [shutdown](Self::shutdown) can end its streams. Over HTTP/2 one connection can keep 200
    /// places, by hyper's default; what ends them is a maximum age of connections: see
    /// [sockets](crate::operating#sockets).
    ///
    /// # Panics
    ///
    /// If `limit` is zero.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().max_streams(10_000);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn max_streams(mut self, limit: usize) -> Self {
        assert!(limit > 0, "a limit of no streams at all");
        let places = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        self.config_mut().places = Some(Arc::new(places));
        self
    }

    /// Sets what refused clients are told: by default [`Refusal::per_client`].
    ///
    /// ```
    /// use tower_sse::{Refusal, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().max_streams(10_000).refusal(Refusal::unavailable());
    /// ```
    #[must_use]
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.config_mut().refusal = refusal;
        self
    }

    /// Calls a closure when a stream opens: when its head is known, or for services that answer with a
    /// bare stream at the call. Refused streams and the answers to `HEAD` requests do not open.
    ///
    /// It must be quick, as it runs within the server's task. If it panics, nothing comes of it. Several
    /// closures are all called, in their order.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_open(|| println!("a stream opened"));
    /// ```
    #[must_use]
    pub fn on_open<F>(mut self, told: F) -> Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config_mut().on_open.push(Arc::new(told));
        self
    }

    /// Counts streams in `stats`, in which several layers can count. By default a layer counts for
    /// itself, and nobody reads it.
    ///
    /// ```
    /// use tower_sse::{SseLayer, Stats};
    ///
    /// let stats = Stats::new();
    /// # let layer: SseLayer =
    /// SseLayer::new().stats(&stats);
    /// assert_eq!(stats.snapshot().open(), 0);
    /// ```
    #[must_use]
    pub fn stats(mut self, stats: &Stats) -> Self {
        self.config_mut().stats = stats.clone();
        self
    }

    /// Puts a [`Disconnect`](crate::Disconnect) into the extensions of every request, so that a task
    /// which a handler spawns can tell when the response is over. Off by default, as it costs
    /// every request five to seven allocations. Services that answer with a bare stream have it anyhow.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().track_disconnects(true);
    /// ```
    #[must_use]
    pub fn track_disconnects(mut self, tracked: bool) -> Self {
        self.config_mut().track_disconnects = tracked;
        self
    }

    /// Answers `406 Not Acceptable` in place of an event stream if the request's `Accept` header
    /// does not allow one (RFC 9110, section 12.5.1). Off by default: OpenAI's SDKs ask for
    /// `application/json`, and get a stream.
    ///
    /// Without the header anything is accepted. Of several ranges that match, the most specific
    /// decides. Other responses than event streams with status 200 pass in any case. A service that
    /// answers with a bare stream is not called at all; a permit that it took when it became ready,
    /// as `ConcurrencyLimit` does, it keeps for its next call.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().require_accept(true);
    /// ```
    #[must_use]
    pub fn require_accept(mut self, required: bool) -> Self {
        self.config_mut().require_accept = required;
        self
    }

    /// Reads the last event id from the query too, if the request has no `Last-Event-ID` header: from
    /// the first of these parameters that is there and not empty. None by default.
    ///
    /// An `EventSource` cannot set the header on its first connection. Polyfills use `lastEventId`,
    /// `evs_last_event_id` or `last_event_id`.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().last_event_id_query(["lastEventId", "last_event_id"]);
    /// ```
    #[must_use]
    pub fn last_event_id_query<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.config_mut().last_event_id_query = names.into_iter().map(Into::into).collect();
        self
    }

    /// Treats additional errors of the source as cancellations: ends of the stream that the program
    /// itself brought about. By default only the [`JoinError`](tokio::task::JoinError) of a
    /// cancelled task is one.
    ///
    /// On a cancellation [`on_error`](Self::on_error) is not request_info, nothing is logged above DEBUG,
    /// and the close report says [`Cancelled`](crate::CloseReason::Cancelled). Between events the
    /// stream of an `EventSource` ends cleanly, if the layer
    /// [looked at the client](crate::operating#who-is-asking). Every other body fails, because its
    /// client would take what it got for the whole answer.
    ///
    /// Do not name an upstream's reset or timeout here: they mean that the rest of its answer is
    /// missing. That the layer's own client left is never an error of the source. The page
    /// [operating](crate::operating#errors-of-the-source) has predicates for tonic and hyper.
    ///
    /// The closure gets the error as the stream or body returned it; call
    /// [`source`](Error::source) for its causes. A closure that panics counts as `false`.
    ///
    /// ```
    /// use tokio::sync::oneshot::error::RecvError;
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().cancellation_if(|error| error.is::<RecvError>());
    /// ```
    #[must_use]
    pub fn cancellation_if<F>(mut self, is_cancellation: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    {
        let config = self.config_mut();
        config.rules = Arc::new(config.rules.with_cancellation_if(Arc::new(is_cancellation)));
        self
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
