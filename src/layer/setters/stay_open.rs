use super::SseLayer;
use crate::options::{Heartbeat, StreamOptions};

/// Options that keep streams open while they are idle, and proxies from holding events back.
impl<M> SseLayer<M> {
    /// Sets the heartbeat that is sent while a stream is idle. The default is a comment line after
    /// 15 seconds. A [`Duration`](std::time::Duration) is the interval of such comments.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Duration::from_secs(30));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is a `Duration` of zero.
    #[doc(alias = "keep_alive")]
    #[doc(alias = "KeepAlive")]
    #[doc(alias = "ping")]
    #[must_use]
    pub fn heartbeat(self, heartbeat: impl Into<Heartbeat>) -> Self {
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

    /// Starts every stream with a comment line of `bytes` bytes, including the line feed. By
    /// default there is none.
    ///
    /// Use it for proxies and old browsers that hold back the first 2 KiB of a response. The
    /// shortest line has 2 bytes, even if `bytes` is 1. Zero means no padding.
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

    /// Leaves out the header `incremental: ?1`. By default, each stream has it, unless the service
    /// sets a value of its own.
    ///
    /// The header asks every proxy to forward bytes as they arrive ([RFC 10036]). A proxy that
    /// refuses must answer with an error, such as 501 or 429, instead of buffering. An
    /// `EventSource` never reconnects after such an answer, while buffering would only delay its
    /// events. Use this option if a proxy on the way refuses.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().without_incremental();
    /// ```
    ///
    /// [RFC 10036]: https://www.rfc-editor.org/rfc/rfc10036#section-3
    #[must_use]
    pub fn without_incremental(mut self) -> Self {
        self.config_mut().omits_incremental = true;
        self
    }
}
