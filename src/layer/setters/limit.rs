use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Refusal, SseLayer};

/// Options that limit which streams open.
impl<M> SseLayer<M> {
    /// Limits how many streams are open at the same time to `limit`. By default there is no limit.
    ///
    /// Further streams are [refused](Self::refusal). All services made by this layer and its clones
    /// share the limit.
    ///
    /// - A stream takes a permit at the response head, or when the service is called if it returns
    ///   a bare stream. It holds the permit until it has closed, on every exit path.
    /// - A stream with a status other than 200 is never refused. It takes a permit only if one is
    ///   free.
    /// - A client can hold a permit for each stream of an HTTP/2 connection that it never reads:
    ///   see [clients that grant no window](crate::guide::proxies#http2-clients-that-grant-no-window).
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

    /// Answers `406 Not Acceptable` instead of an event stream if the request does not accept one
    /// (RFC 9110, section 12.5.1).
    ///
    /// Off by default, because OpenAI's SDKs send `Accept: application/json` and expect a stream.
    ///
    /// - A request without an `Accept` header accepts anything. If several ranges match, the most
    ///   specific one decides.
    /// - Only event streams with status 200 are affected.
    /// - A service that returns a bare stream is not called, [as for a
    ///   refusal](Refusal#what-is-refused).
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
}
