use std::{error::Error, sync::Arc};

use super::SseLayer;
use crate::{
    connection::CloseReport,
    event::Event,
    options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions},
};

/// Options that a response can override for its own stream, by [`StreamOptions`] in its extensions.
impl<M> SseLayer<M> {
    /// Sets what is sent when a stream has been silent for a while: by default a comment line
    /// after 15 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.options(StreamOptions::new().heartbeat(heartbeat))
    }

    /// Sets the reconnection time that every stream starts with, sent at once as a `retry` line.
    /// None by default: clients wait for as long as they think best, a few seconds mostly.
    ///
    /// It is left out for a stream whose first event is ready at once and brings a `retry` line of its
    /// own, as the first event of MCP servers does: several clients fail at two `retry` lines in one
    /// block, among them rmcp's. If such an event comes later, both are sent.
    ///
    /// It is a lone line, which harms no client. But if the source then writes an empty comment block of
    /// its own before its first event, as the `KeepAlive` of axum's `Sse` does, the two are a block
    /// without data to clients, and httpx-sse makes an empty event of it. Leave such heartbeats to the
    /// layer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Retry, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().retry(Retry::fixed(Duration::from_secs(2)));
    /// ```
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.options(StreamOptions::new().retry(retry))
    }

    /// Starts every stream with a comment line of so many bytes, its line feed included (two at
    /// least). None by default, and zero means none.
    ///
    /// Some proxies and old browsers hold a response back until they have 2 KiB of it.
    ///
    /// # Panics
    ///
    /// If `bytes` is more than 65,536.
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

    /// Ends streams that have become so old, so that their clients come back. Never by default; see
    /// [`MaxAge`] for how they end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{MaxAge, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().max_age(MaxAge::new(Duration::from_secs(3600)).jitter(0.1));
    /// ```
    #[must_use]
    pub fn max_age(self, max_age: MaxAge) -> Self {
        self.options(StreamOptions::new().max_age(max_age))
    }

    /// Sets how open streams end when the [shutdown](Self::shutdown) begins: by default
    /// [`Drain::per_client`].
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

    /// Sends an event when the [shutdown](Self::shutdown) ends a stream, if it is between events then.
    /// None by default.
    ///
    /// The client comes back with the id that the event has, so leave it without one. An event that
    /// has a name but no data is sent with empty data, or no client would dispatch it. One that has
    /// neither is not sent, and a WARN line says so (feature `tracing`).
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().farewell(Event::new().event("restart").data("back in a moment"));
    /// ```
    #[must_use]
    pub fn farewell(self, farewell: impl Into<Option<Event>>) -> Self {
        self.options(StreamOptions::new().farewell(farewell))
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
    /// SseLayer::new().terminator(Event::from("[DONE]"));
    /// ```
    ///
    /// A task that sends events through a channel and panics closes its channel as one that has
    /// finished does, and `[DONE]` follows half of an answer. Let the task's failure be the
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
    pub fn terminator(self, terminator: impl Into<Option<Event>>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Turns an error of the source into a last event, after which the stream ends cleanly. The
    /// [terminator](Self::terminator) is not sent then.
    ///
    /// By default an error fails the body, so that clients notice and reconnect. In both cases
    /// what was ready before the error is sent first. The body then fails once the server has taken
    /// those bytes, and 20 milliseconds later, so that the client gets them. A client that reads
    /// slowly, or is behind a compressor, may still lose what it had not read.
    ///
    /// The body fails, and the closure is not called, if the source fails mid-event or in a stream
    /// with a content coding: there is no place for another event. The body also fails if the
    /// closure panics. A [cancellation](Self::cancellation_if) is not an error in this sense.
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
    /// What an error says is mostly not for strangers; nor is `error` a good name for the event, since
    /// `EventSource` calls its own events so, when the connection breaks.
    #[must_use]
    pub fn on_error<F>(self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_error(to_event))
    }

    /// Calls a closure once for every stream that was opened, when it has closed: with the reason, its
    /// age, and how much was sent.
    ///
    /// That holds for every way out: if the client leaves, also before a bare stream's service has
    /// answered, if the body is never polled, and if the source panics. The source is dropped by then, and
    /// the place among [`max_streams`](Self::max_streams) is free. Several closures are all called, in
    /// their order; those of a response ([`StreamOptions::on_close`]) after the layer's.
    ///
    /// It must be quick, as it runs within the server's task, or wherever the body is dropped, also while
    /// that thread unwinds from a panic. If it panics itself, nothing comes of it. With feature `tracing` it
    /// is called in the request's span, and every close is a DEBUG line.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_close(|closed| {
    ///     println!("{} after {:?}, {} bytes", closed.reason(), closed.age(), closed.bytes());
    /// });
    /// ```
    #[must_use]
    pub fn on_close<F>(self, told: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_close(told))
    }

    /// Sets several options of streams at once; those that `options` leave open stay as they are.
    ///
    /// A response that carries [`StreamOptions`] in its extensions goes before the layer in the same
    /// way.
    ///
    /// ```
    /// use tower_sse::{Event, Heartbeat, SseLayer, StreamOptions};
    ///
    /// let options = StreamOptions::new().heartbeat(Heartbeat::off()).terminator(Event::from("[END]"));
    /// # let layer: SseLayer =
    /// SseLayer::new().padding(2048).options(options);
    /// ```
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        let config = self.config_mut();
        config.rules = Arc::new(config.rules.with(options));
        self
    }
}
