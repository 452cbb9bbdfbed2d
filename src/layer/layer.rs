use std::{error::Error, fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::{Config, SseService, marker};
use crate::{
    body::{Heartbeat, Retry, StreamOptions},
    event::Event,
};

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
/// [`Builder::enable_time`](tokio::runtime::Builder::enable_time) do: on one without a timer, a stream
/// that falls silent or fails panics, as does one that outlives its runtime. Outside any runtime there are no heartbeats, and (with feature
/// `tracing`) a WARN line for each stream that falls silent.
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

    /// Sets what is sent when a stream has been silent for a while: by default a comment line
    /// after 15 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.options(StreamOptions::new().heartbeat(heartbeat))
    }

    /// Sets the reconnection time that every stream starts with, sent at once as a `retry` line.
    /// None by default: clients wait for as long as they think best, a few seconds mostly.
    ///
    /// It is a lone line, which harms no client. But if the source then writes an empty comment block of
    /// its own before its first event, as the `KeepAlive` of axum's `Sse` does, the two are a block
    /// without data to clients, and httpx-sse makes an empty event of it. Leave such heartbeats to the
    /// layer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Retry, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().retry(Retry::fixed(Duration::from_secs(2)));
    /// ```
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.options(StreamOptions::new().retry(retry))
    }

    /// Starts every stream with a comment line of so many bytes, its line feed included (two at
    /// least). None by default, and zero means none.
    ///
    /// Some proxies and old browsers hold a response back until they have 2 KiB of it.
    ///
    /// # Panics
    ///
    /// If `bytes` is more than 65,536.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().padding(2048);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn padding(self, bytes: usize) -> Self {
        self.options(StreamOptions::new().padding(bytes))
    }

    /// Sends an event after the source's own clean end. None by default.
    ///
    /// It is the end that OpenAI's clients wait for, `[DONE]`, or one that page code listens to, so
    /// as to close the `EventSource` that would otherwise reconnect. If the source ends amid an
    /// event, or with an error, nothing is added.
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().terminator(Event::from("[DONE]"));
    /// ```
    #[must_use]
    pub fn terminator(self, terminator: impl Into<Option<Event>>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Turns an error of the source into a last event, after which the stream ends cleanly. The
    /// [terminator](Self::terminator) is not sent then.
    ///
    /// By default an error fails the body, so that clients notice and reconnect. In both cases
    /// what was ready before the error is sent first; so that the client gets it, a body fails
    /// 20 milliseconds after its source did. One that reads slowly, or shares a busy HTTP/2
    /// connection, may still lose what it had not read. An error that [only says that somebody
    /// left](crate::is_cancellation) ends the stream cleanly, and the closure is not called.
    ///
    /// If the source fails amid an event there is no place for another: then, and if the closure
    /// panics, the body fails, whatever the error is.
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_error(|error| {
    ///     tracing::error!(error, "the stream failed");
    ///     Event::new().event("failed").data("internal error")
    /// });
    /// ```
    ///
    /// What an error says is mostly not for strangers; nor is `error` a good name for the event, since
    /// `EventSource` calls its own events so, when the connection breaks.
    #[must_use]
    pub fn on_error<F>(self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_error(to_event))
    }

    /// Sets several options of streams at once; those that `options` leave open stay as they are.
    ///
    /// A response that carries [`StreamOptions`] in its extensions goes before the layer in the same
    /// way.
    ///
    /// ```
    /// use tower_sse::{Event, Heartbeat, SseLayer, StreamOptions};
    ///
    /// let options = StreamOptions::new().heartbeat(Heartbeat::off()).terminator(Event::from("[END]"));
    /// # let layer: SseLayer =
    /// SseLayer::new().padding(2048).options(options);
    /// ```
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        let config = self.config_mut();
        config.rules = Arc::new(config.rules.with(options));
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

    /// Takes further errors for such that only say that somebody left: a stream that ends with one
    /// ends cleanly. By default those that [`is_cancellation`](crate::is_cancellation) names.
    ///
    /// The closure is given the error as the stream or body gave it; what lies beneath it can be
    /// reached by [`source`](Error::source). If it panics, it has said no.
    ///
    /// Errors can only be added. Where one that `is_cancellation` names is a failure to you, such as
    /// the reset of an upstream's connection, turn it into another in the stream or body.
    ///
    /// ```
    /// use tokio::sync::oneshot::error::RecvError;
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().classify_with(|error| error.is::<RecvError>());
    /// ```
    #[must_use]
    pub fn classify_with<F>(mut self, is_benign: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    {
        let config = self.config_mut();
        config.rules = Arc::new(config.rules.with_classification(Arc::new(is_benign)));
        self
    }

    fn config_mut(&mut self) -> &mut Config {
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
