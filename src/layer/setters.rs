use std::{error::Error, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Refusal, SseLayer};
use crate::stats::Stats;

/// Options of the layer. See [what setting an option again
/// does](crate::StreamOptions#setting-and-turning-off-options).
impl<M> SseLayer<M> {
    /// Sets the token that ends open streams when it is cancelled.
    ///
    /// After it is cancelled, new streams are [refused](Self::refusal), except for the answers to
    /// calls (requests by any method except `GET`) that arrived earlier. The token also ends
    /// streams of inner layers that have no shutdown of their own. [`drain`](Self::drain) sets how
    /// streams end.
    ///
    /// By default nothing ends streams. With open streams, the graceful shutdown of axum or hyper
    /// therefore never finishes, because it waits for every body.
    ///
    /// Use the token that shuts the server down. It cannot end the stream of a client that does not
    /// read, because hyper does not poll that body. Therefore give the graceful shutdown a
    /// deadline:
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
    /// Recipes for hyper and tonic are on the page [shutdown](crate::operating::shutdown).
    #[doc(alias = "graceful_shutdown")]
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.config_mut().shutdown = Some(token);
        self
    }

    /// Limits how many streams are open at the same time to `limit`. By default there is no limit.
    ///
    /// Further streams are [refused](Self::refusal). All services made by this layer and its clones
    /// share the limit.
    ///
    /// - A stream takes a permit at the response head, or when the service is called if it returns
    ///   a bare stream. It holds the permit until it has closed, on every exit path.
    ///   (`ConcurrencyLimit` of tower frees its permit at the response head.)
    /// - A stream with a status other than 200 is never refused. It takes a permit only if one is
    ///   free.
    /// - A client that does not read keeps its permits, because neither [`max_age`](Self::max_age)
    ///   nor the [shutdown](Self::shutdown) can end its streams. Over HTTP/2, one connection can
    ///   keep 200 permits with hyper's default settings. Limit the age of connections; see [proxies
    ///   and sockets](crate::operating::proxies#http2-clients-that-grant-no-window).
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
        assert!(limit > 0, "the limit of open streams cannot be zero");
        let permits = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        self.config_mut().permits = Some(Arc::new(permits));
        self
    }

    /// Sets the answer to clients whose streams are refused. The default is
    /// [`Refusal::per_client`].
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

    /// Calls a closure when a stream opens.
    ///
    /// A stream opens when its response head is known or, with a service that returns a bare
    /// stream, when the service is called. Refused streams and the answers to `HEAD` requests do
    /// not open.
    ///
    /// The closure runs in the server's task, so it must not block. A panic in it is caught and
    /// logged.
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

    /// Counts streams in `stats`. Several layers can share one value. By default a layer counts in
    /// a value of its own, which cannot be read.
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

    /// Inserts a [`Disconnect`](crate::Disconnect) into every request's extensions. It signals to
    /// the tasks of a handler that the response is over.
    ///
    /// Off by default, because it costs five to seven allocations for each request. For services
    /// that return a bare stream, it is always inserted.
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

    /// Answers `406 Not Acceptable` instead of an event stream if the request does not accept one
    /// (RFC 9110, section 12.5.1).
    ///
    /// Off by default, because OpenAI's SDKs send `Accept: application/json` and expect a stream.
    ///
    /// - A request without an `Accept` header accepts anything. If several ranges match, the most
    ///   specific one decides.
    /// - Only event streams with status 200 are affected.
    /// - A service that returns a bare stream is not called. If it reserved a permit in
    ///   `poll_ready`, as tower's `ConcurrencyLimit` does, that permit stays reserved for its next
    ///   request.
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

    /// Reads the last event id from the query parameter `name` if the request has no
    /// `Last-Event-ID` header. Off by default.
    ///
    /// Page code cannot set the header for the first connection of an `EventSource`. Polyfills use
    /// `lastEventId`, `evs_last_event_id` or `last_event_id`. To accept several names, call this
    /// method once for each: they are tried in that order, and empty values are skipped.
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

    /// Treats an error of the source as a cancellation if the closure returns `true` for it. A
    /// cancellation means that the program itself ended the source.
    ///
    /// By default, only the [`JoinError`](tokio::task::JoinError) of a cancelled task is a
    /// cancellation. A cancellation differs from a failure:
    ///
    /// - [`on_error`](Self::on_error) is not called, and nothing is logged above DEBUG.
    /// - The close reason is [`Cancelled`](crate::CloseReason::Cancelled).
    /// - Between events, the stream of an `EventSource` ends cleanly. Every other body fails, because
    ///   the client would mistake a partial answer for the complete one.
    ///
    /// Do not return `true` for the reset or timeout of an upstream, because the rest of its answer
    /// is then missing. A client that disconnects causes no error of the source. The page
    /// [errors](crate::operating::errors#cancellations) has predicates for tonic and hyper.
    ///
    /// The closure is called with [the error of the
    /// program](crate::operating::errors#the-error-of-the-program) and, while it returns `false`,
    /// with each of its causes ([`source`](Error::source), or what an `io::Error` wraps), outermost
    /// first. A panic in the closure counts as `false`.
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
