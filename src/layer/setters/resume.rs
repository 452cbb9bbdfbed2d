use super::SseLayer;
use crate::options::{Retry, StreamOptions};

/// Options of how clients reconnect and resume.
impl<M> SseLayer<M> {
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
}
