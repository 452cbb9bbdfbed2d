use std::{error::Error, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Refusal, SseLayer};
use crate::stats::Stats;

/// Options of the layer. What setting one twice does is [the same for all
/// options](crate::StreamOptions#setting-and-undoing-options).
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
