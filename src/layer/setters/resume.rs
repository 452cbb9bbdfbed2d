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
    /// even if this one is shorter. To reconnect as soon as after any other end, turn that one off
    /// with [`Drain::without_retry`](crate::Drain::without_retry).
    ///
    /// The line has no empty line after it, so it belongs to the same block as the first event. Two
    /// kinds of sources do not suit this option:
    ///
    /// - Sources that send `retry` lines, such as MCP servers. If their first event is not ready at
    ///   once, its block has two such lines, and rmcp's client fails. If it is ready, the layer sends
    ///   no line of its own.
    /// - Sources that send comments followed by an empty line, such as axum's `Sse` with `KeepAlive`.
    ///   The empty line can end a block that has only the `retry` line, and httpx-sse returns an
    ///   empty event for it.
    ///
    /// A stream that is drained before its first event also has two lines: this one and the drain's.
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
