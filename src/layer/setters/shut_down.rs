use tokio_util::sync::CancellationToken;

use super::SseLayer;
use crate::{
    event::Event,
    options::{Drain, StreamOptions},
};

/// Options of the shutdown.
impl<M> SseLayer<M> {
    /// Sets the token that ends open streams when it is cancelled.
    ///
    /// From then on, new streams are [refused](Self::refusal). A `POST`, or any other request except
    /// a `GET`, that arrived before is still answered. [`drain`](Self::drain) sets how streams end.
    /// The page [placement](crate::guide::placement#two-layers) has the rules for several layers.
    ///
    /// By default nothing ends streams. With open streams, the graceful shutdown of axum or hyper
    /// therefore never finishes, because it waits for every body.
    ///
    /// Use the token that shuts the server down, and give the graceful shutdown a deadline, because
    /// the token cannot end the stream of a client that does not read. The page
    /// [shutdown](crate::guide::shutdown) has the recipes for axum, hyper and tonic.
    ///
    /// ```
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::SseLayer;
    ///
    /// let shutdown = CancellationToken::new();
    /// # let layer: SseLayer =
    /// SseLayer::new().shutdown(shutdown.clone());
    /// ```
    #[doc(alias = "graceful_shutdown")]
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.config_mut().shutdown = Some(token);
        self
    }

    /// Sets how open streams end when the [shutdown](Self::shutdown) begins. The default is
    /// [`Drain::per_client`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::{Drain, SseLayer};
    ///
    /// let shutdown = CancellationToken::new();
    /// # let layer: SseLayer =
    /// SseLayer::new()
    ///     .shutdown(shutdown.clone())
    ///     .drain(Drain::spread_over(Duration::from_secs(20)));
    /// ```
    #[must_use]
    pub fn drain(self, drain: Drain) -> Self {
        self.options(StreamOptions::new().drain(drain))
    }

    /// Sends an event when the [shutdown](Self::shutdown) ends a stream between events. By default
    /// none is sent.
    ///
    /// - Calls get it too, before their bodies fail. Where the client would take it for a part of
    ///   the answer, as clients of language models do, turn it off with
    ///   [`StreamOptions::without_farewell`](crate::StreamOptions::without_farewell).
    /// - Do not give the event an id, because the client would resume from it.
    /// - An event with a name but without data is sent with empty data, because otherwise no client
    ///   would dispatch it.
    /// - An event with neither is not sent, and a WARN line is logged (feature `tracing`).
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
}
