use std::sync::Arc;

use super::SseLayer;
use crate::options::{Heartbeat, Retry, StreamOptions};

/// Options of streams. A response overrides them for its own stream with [`StreamOptions`] in its
/// extensions.
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

    /// Sets the reconnection time that is sent as a `retry` line at the start of every stream. By
    /// default none is sent, and most clients wait for a few seconds. A
    /// [`Duration`](std::time::Duration) is the same time for every client.
    ///
    /// After a shutdown, clients wait for the time of [`Drain::retry`](crate::Drain::retry) instead,
    /// by default 2 to 10 seconds, even if this one is shorter. To reconnect as soon as after any
    /// other end, turn that one off with [`Drain::without_retry`](crate::Drain::without_retry).
    ///
    /// Some clients, such as rmcp's, fail if a block has two `retry` lines:
    ///
    /// - If the first event is ready at once and has a `retry` line, as that of MCP servers does,
    ///   the layer sends none of its own.
    /// - If the first event comes later and has a `retry` line, the client receives both lines in
    ///   one block. The same happens if the stream is drained before its first event. Do not set
    ///   this option for clients that fail on two lines.
    ///
    /// The line has no empty line after it, so it belongs to the same block as the first event.
    /// Some sources, such as axum's `Sse` with `KeepAlive`, send comments followed by an empty
    /// line. Before the first event, that empty line ends a block that has only the `retry` line,
    /// and httpx-sse returns an empty event for it. Turn off such comments of the source.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().retry(Duration::from_secs(2));
    /// ```
    #[doc(alias = "reconnect")]
    #[must_use]
    pub fn retry(self, retry: impl Into<Retry>) -> Self {
        self.options(StreamOptions::new().retry(retry))
    }

    /// Turns [`retry`](Self::retry) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_retry();
    /// ```
    #[must_use]
    pub fn without_retry(self) -> Self {
        self.options(StreamOptions::new().without_retry())
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

    /// Turns [`padding`](Self::padding) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_padding();
    /// ```
    #[must_use]
    pub fn without_padding(self) -> Self {
        self.options(StreamOptions::new().without_padding())
    }

    /// Sets several options of streams at once. Options that are not set in `options` keep their
    /// values.
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
