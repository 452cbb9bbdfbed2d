use std::{error::Error, sync::Arc};

use super::SseLayer;
use crate::{
    connection::CloseReport,
    event::Event,
    options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions},
};

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
