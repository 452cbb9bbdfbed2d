use std::{error::Error, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Refusal, SseLayer};
use crate::{
    connection::CloseReport,
    event::Event,
    options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions},
    stats::Stats,
};

/// Options of the layer. What setting one twice does is [the same for all
/// options](StreamOptions#setting-and-undoing-options).
impl<M> SseLayer<M> {
    /// Ends open streams once `token` is cancelled, as [`drain`](Self::drain) says, and
    /// [refuses](Self::refusal) new ones from then on. A call (a request by any method but `GET`) that
    /// came before is answered. The shutdown reaches streams of inner layers that have none of their
    /// own.
    ///
    /// By default nothing ends streams, and the graceful shutdown of axum or hyper, which waits for
    /// every body, waits without end.
    ///
    /// Cancel the same token that shuts the server down. The stream of a client that does not read
    /// cannot be ended this way, because hyper does not poll its body. So give the graceful
    /// shutdown a deadline:
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
    #[doc(alias = "graceful_shutdown")]
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.config_mut().shutdown = Some(token);
        self
    }

    /// Limits how many streams are open at once to `limit`, over all services that this value and its
    /// clones make. Further streams are [refused](Self::refusal). No limit by default.
    ///
    /// A stream holds its permit from its head until it has closed, on every exit path; with a service
    /// that returns a bare stream, from the call. `ConcurrencyLimit` of tower frees its permit at the
    /// head. Streams with a status other than 200 are not refused; they take a permit if one is free.
    ///
    /// A client that does not read keeps its permits: neither [`max_age`](Self::max_age) nor the
    /// [shutdown](Self::shutdown) can end its streams. Over HTTP/2 one connection can keep 200
    /// permits, by hyper's default. A maximum age of connections ends them: see
    /// [sockets](crate::operating#sockets).
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
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
        let permits = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        self.config_mut().permits = Some(Arc::new(permits));
        self
    }

    /// Sets how streams are refused: [`Refusal::per_client`] by default.
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

    /// Calls a closure when a stream opens: when its head is known or, with a service that returns a bare
    /// stream, at the call. Refused streams and the answers to `HEAD` requests do not open.
    ///
    /// It must be quick, because it runs within the server's task. A panic in it is caught and logged.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_open(|| println!("a stream opened"));
    /// ```
    #[must_use]
    pub fn on_open<F>(mut self, callback: F) -> Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config_mut().on_open.push(Arc::new(callback));
        self
    }

    /// Counts streams in `stats`. Several layers can share one value. By default a layer has counters of
    /// its own, which cannot be read.
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

    /// Puts a [`Disconnect`](crate::Disconnect) into the extensions of every request, so that a task that
    /// a handler spawns learns when the response is over. Off by default, because it costs every request
    /// five to seven allocations. Services that return a bare stream always have it.
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
    /// does not allow one (RFC 9110, section 12.5.1). Off by default, because OpenAI's SDKs ask for
    /// `application/json` and expect a stream.
    ///
    /// A request without the header accepts anything. If several ranges match, the most specific
    /// one decides. Only event streams with status 200 are affected. A service that returns a bare
    /// stream is not called at all. If it reserved a permit in `poll_ready`, as tower's
    /// `ConcurrencyLimit` does, that permit stays reserved for its next request.
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

    /// Reads the last event id from the query parameter `name` too, if the request has no
    /// `Last-Event-ID` header. Off by default. Call it once for each name: the first parameter that
    /// is present and not empty counts, in the order of the calls.
    ///
    /// An `EventSource` cannot set the header on its first connection. Polyfills use `lastEventId`,
    /// `evs_last_event_id` or `last_event_id`.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().last_event_id_query("lastEventId").last_event_id_query("last_event_id");
    /// ```
    #[must_use]
    pub fn last_event_id_query(mut self, name: impl Into<String>) -> Self {
        self.config_mut().last_event_id_query.push(name.into());
        self
    }

    /// Treats additional errors of the source as cancellations: ends of the stream that the program
    /// itself brought about. By default only the [`JoinError`](tokio::task::JoinError) of a
    /// cancelled task is one.
    ///
    /// On a cancellation [`on_error`](Self::on_error) is not called, nothing is logged above DEBUG,
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
        config.options = Arc::new(config.options.with_cancellation_if(Arc::new(is_cancellation)));
        self
    }
}

/// Options that a response can override for its own stream, by [`StreamOptions`] in its extensions.
impl<M> SseLayer<M> {
    /// Sets what is sent while a stream is idle: by default a comment line after 15 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(30)));
    /// ```
    #[doc(alias = "keep_alive")]
    #[doc(alias = "KeepAlive")]
    #[doc(alias = "ping")]
    #[must_use]
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.options(StreamOptions::new().heartbeat(heartbeat))
    }

    /// Sends no heartbeats.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().without_heartbeat();
    /// ```
    #[must_use]
    pub fn without_heartbeat(self) -> Self {
        self.options(StreamOptions::new().without_heartbeat())
    }

    /// Sets the reconnection time that every stream starts with, sent at once as a `retry` line. None by
    /// default: most clients wait for a few seconds.
    ///
    /// It is left out for a stream whose first event is ready at once and brings a `retry` line of
    /// its own, as the first event of MCP servers does: several clients fail at two `retry` lines
    /// in one block, among them rmcp's. If such an event comes later, both are sent. If the stream
    /// is drained before its first event, the client gets both `retry` lines in one block. Do not
    /// set this option for clients that reject that.
    ///
    /// The line is sent without an empty line after it, which every client accepts. But if the
    /// source then writes an empty comment block of its own before its first event, as the
    /// `KeepAlive` of axum's `Sse` does, the two are a block without data to clients, and httpx-sse
    /// makes an empty event of it. Leave such heartbeats to the layer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Retry, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().retry(Retry::fixed(Duration::from_secs(2)));
    /// ```
    #[doc(alias = "reconnect")]
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.options(StreamOptions::new().retry(retry))
    }

    /// Sends no reconnection time at the start of streams, as by default. Undoes [`retry`](Self::retry).
    #[must_use]
    pub fn without_retry(self) -> Self {
        self.options(StreamOptions::new().without_retry())
    }

    /// Starts every stream with a comment line of `bytes` bytes, its line feed included: 1 counts
    /// as 2, and 0 means no padding. None by default.
    ///
    /// Some proxies and old browsers hold a response back until they have 2 KiB of it.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is more than 65,536.
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

    /// Starts streams without padding, as by default. Undoes [`padding`](Self::padding).
    #[must_use]
    pub fn without_padding(self) -> Self {
        self.options(StreamOptions::new().without_padding())
    }

    /// Limits the age of streams, so that their clients reconnect. No limit by default; [`MaxAge`] says
    /// how streams end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{MaxAge, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().max_age(MaxAge::new(Duration::from_secs(3600)).jitter(0.1));
    /// ```
    #[doc(alias = "timeout")]
    #[must_use]
    pub fn max_age(self, max_age: MaxAge) -> Self {
        self.options(StreamOptions::new().max_age(max_age))
    }

    /// Lets streams reach any age, as they do by default. Calling it makes the layer [look at its
    /// clients](crate::operating#who-is-asking), which it needs to do if responses set a maximum
    /// age of their own.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().without_max_age();
    /// ```
    #[must_use]
    pub fn without_max_age(self) -> Self {
        self.options(StreamOptions::new().without_max_age())
    }

    /// Sets how open streams end when the [shutdown](Self::shutdown) begins: [`Drain::per_client`] by
    /// default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::{Drain, SseLayer};
    ///
    /// let shutdown = CancellationToken::new();
    /// # let layer: SseLayer =
    /// SseLayer::new().shutdown(shutdown.clone()).drain(Drain::spread_over(Duration::from_secs(20)));
    /// ```
    #[must_use]
    pub fn drain(self, drain: Drain) -> Self {
        self.options(StreamOptions::new().drain(drain))
    }

    /// Sends an event when the [shutdown](Self::shutdown) ends a stream between events. None by default.
    ///
    /// Do not give the event an id: the client would resume from it. An event that has a name but
    /// no data is sent with empty data, or no client would dispatch it. One that has neither is not
    /// sent, and a WARN line says so (feature `tracing`).
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().farewell(Event::new().event("restart").data("back in a moment"));
    /// ```
    #[must_use]
    pub fn farewell(self, farewell: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().farewell(farewell))
    }

    /// Sends no event at the shutdown, as by default. Undoes [`farewell`](Self::farewell).
    #[must_use]
    pub fn without_farewell(self) -> Self {
        self.options(StreamOptions::new().without_farewell())
    }

    /// Sends an event after the source's own clean end. None by default.
    ///
    /// It is the end that OpenAI's clients wait for, `[DONE]`, or one that page code listens to, so
    /// as to close the `EventSource` that would otherwise reconnect. If the source ends mid-event, or
    /// with an error, nothing is added.
    ///
    /// An event that has a name but no data is sent with empty data, or no client would dispatch it.
    /// One that has neither is not sent, and a WARN line says so (feature `tracing`).
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().terminator("[DONE]");
    /// ```
    ///
    /// If a task that feeds the stream through a channel panics, the channel closes as if the task
    /// had finished, and `[DONE]` is sent after half of an answer. Let the task's failure be the
    /// stream's last item, so that the body fails instead:
    ///
    /// ```
    /// use futures_util::{Stream, StreamExt, future, stream};
    /// use tokio::{sync::mpsc, task::{JoinError, JoinHandle}};
    /// use tokio_stream::wrappers::ReceiverStream;
    /// use tower_sse::Event;
    ///
    /// fn with_its_end(
    ///     events: mpsc::Receiver<Event>,
    ///     producer: JoinHandle<()>,
    /// ) -> impl Stream<Item = Result<Event, JoinError>> {
    ///     let failure = stream::once(producer).filter_map(|end| future::ready(end.err().map(Err)));
    ///     ReceiverStream::new(events).map(Ok).chain(failure)
    /// }
    /// ```
    #[must_use]
    pub fn terminator(self, terminator: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Sends no event after the source's end, as by default. Undoes [`terminator`](Self::terminator).
    #[must_use]
    pub fn without_terminator(self) -> Self {
        self.options(StreamOptions::new().without_terminator())
    }

    /// Turns an error of the source into a last event, after which the stream ends cleanly. The
    /// [terminator](Self::terminator) is not sent then.
    ///
    /// By default an error fails the body, so that clients notice and reconnect. In both cases what
    /// was ready before the error is sent first. The body then fails 20 milliseconds after the
    /// server has released those bytes, or after a second at the latest, so that the client can
    /// receive them. A client that reads slowly, or is behind a compressor, may still lose what it
    /// had not read.
    ///
    /// The body fails, and the closure is not called, if the source fails mid-event or in a stream
    /// with a content coding: there is no place for another event. The body also fails if the
    /// closure panics, or returns an event that has neither data nor a name, which no client would
    /// dispatch. A [cancellation](Self::cancellation_if) is not an error in this sense.
    ///
    /// A failing body makes [noise in the server's and in proxies'
    /// logs](crate::operating#errors-of-the-source).
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
    /// The text of an error is mostly not for strangers. Nor is `error` a good name for the event, because
    /// `EventSource` fires its own `error` event when the connection breaks.
    #[must_use]
    pub fn on_error<F>(self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_error(to_event))
    }

    /// Lets an error of the source fail the body, as by default. Undoes [`on_error`](Self::on_error).
    #[must_use]
    pub fn without_on_error(self) -> Self {
        self.options(StreamOptions::new().without_on_error())
    }

    /// Calls a closure once for every stream that was opened, when it has closed: with the reason, its
    /// age, and how much was sent.
    ///
    /// It is called on every exit path: if the client leaves (for a service that returns a bare
    /// stream, even before that service has answered), if the body is never polled, and if the
    /// source panics. The source is dropped by then, and the permit under
    /// [`max_streams`](Self::max_streams) is free.
    ///
    /// It must be quick, because it runs within the server's task, or wherever the body is dropped, also
    /// while that thread unwinds from a panic. A panic in it is caught and logged. With feature `tracing`
    /// it is called in the request's span, and every close is a DEBUG line.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_close(|report| {
    ///     println!("{} after {:?}, {} bytes", report.reason(), report.age(), report.bytes());
    /// });
    /// ```
    #[must_use]
    pub fn on_close<F>(self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_close(callback))
    }

    /// Calls no closure when a stream has closed, as by default. Undoes [`on_close`](Self::on_close).
    #[must_use]
    pub fn without_on_close(self) -> Self {
        self.options(StreamOptions::new().without_on_close())
    }

    /// Sets several options of streams at once; those that are not set in `options` stay as they are.
    ///
    /// [`StreamOptions`] in a response's extensions override the layer's in the same way.
    ///
    /// ```
    /// use tower_sse::{SseLayer, StreamOptions};
    ///
    /// let options = StreamOptions::new().without_heartbeat().terminator("[END]");
    /// # let layer: SseLayer =
    /// SseLayer::new().padding(2048).options(options);
    /// ```
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        let config = self.config_mut();
        config.options = Arc::new(config.options.with(options));
        self
    }
}
