use std::error::Error;

use super::SseLayer;
use crate::{
    connection::CloseReport,
    event::Event,
    options::{Drain, MaxAge, StreamOptions},
};

/// Options of how streams end. A response overrides them for its own stream with [`StreamOptions`]
/// in its extensions.
impl<M> SseLayer<M> {
    /// Limits the age of streams, so that their clients reconnect. By default there is no limit.
    /// [`MaxAge`] describes how streams end. A [`Duration`](std::time::Duration) is a maximum age
    /// without jitter.
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
    pub fn max_age(self, max_age: impl Into<MaxAge>) -> Self {
        self.options(StreamOptions::new().max_age(max_age))
    }

    /// Turns [`max_age`](Self::max_age) off, which is the default. A response can still set a
    /// maximum age for its own stream.
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
    /// - Calls get it too, before their bodies fail. Where clients parse each event, as those of
    ///   language models do, turn it off with
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

    /// Turns [`farewell`](Self::farewell) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_farewell();
    /// ```
    #[must_use]
    pub fn without_farewell(self) -> Self {
        self.options(StreamOptions::new().without_farewell())
    }

    /// Sends an event after the source has ended cleanly. By default none is sent.
    ///
    /// OpenAI's clients wait for `[DONE]`. Page code can close its `EventSource` at such an event;
    /// otherwise it reconnects.
    ///
    /// - If the source fails or ends mid-event, the event is not sent.
    /// - Set it on streams that you generate. A body that is forwarded from an
    ///   [upstream](crate::operating::upstreams) has a terminator of its own.
    /// - An event with a name but without data is sent with empty data, because otherwise no client
    ///   would dispatch it.
    /// - An event with neither is not sent, and a WARN line is logged (feature `tracing`).
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().terminator("[DONE]");
    /// ```
    ///
    /// If a task sends the events through a channel and panics, the channel closes as usual, and
    /// `[DONE]` is sent after a partial answer. Make the failure of the task the last item of the
    /// stream, so that the body fails:
    ///
    /// ```
    /// use futures_util::{Stream, StreamExt, future, stream};
    /// use tokio::{sync::mpsc, task::{JoinError, JoinHandle}};
    /// use tokio_stream::wrappers::ReceiverStream;
    /// use tower_sse::Event;
    ///
    /// fn with_failure(
    ///     events: mpsc::Receiver<Event>,
    ///     producer: JoinHandle<()>,
    /// ) -> impl Stream<Item = Result<Event, JoinError>> {
    ///     let failure = stream::once(producer)
    ///         .filter_map(|joined| future::ready(joined.err().map(Err)));
    ///     ReceiverStream::new(events).map(Ok).chain(failure)
    /// }
    /// ```
    ///
    /// A stream that `take_until` stops has also ended cleanly, so `[DONE]` follows its partial
    /// answer. Stop it [by an error](crate::operating::errors#stopping-a-stream) instead.
    #[must_use]
    pub fn terminator(self, terminator: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Turns [`terminator`](Self::terminator) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_terminator();
    /// ```
    #[must_use]
    pub fn without_terminator(self) -> Self {
        self.options(StreamOptions::new().without_terminator())
    }

    /// Turns an error of the source into a last event. The stream then ends cleanly, without the
    /// [terminator](Self::terminator).
    ///
    /// The closure receives [the error of the
    /// program](crate::operating::errors#the-error-of-the-program), without those in which its host
    /// has wrapped it, so it can call `error.downcast_ref::<MyError>()`.
    ///
    /// Without a closure, an error of the source fails the body, so that clients notice it and
    /// reconnect. With one, the body still fails in these cases:
    ///
    /// - The source failed mid-event, or the stream has a content coding. The closure is not
    ///   called, because no event can be written.
    /// - The error is a [cancellation](Self::cancellation_if). The closure is not called.
    /// - The closure panicked, or returned an event with neither data nor a name, which no client
    ///   would dispatch.
    ///
    /// The events before the error are sent first. The body fails 20 milliseconds after the server
    /// has released their bytes, but waits at most a second for that. A client that reads slowly,
    /// or is behind a compressor that does not flush, may still lose the last events. A failing
    /// body also causes [log lines](crate::operating::errors#logs) of the server and of proxies.
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
    /// Do not send the text of the error to clients you do not trust. Do not name the event
    /// `error`: `EventSource` dispatches its own `error` event when the connection breaks.
    #[must_use]
    pub fn on_error<F>(self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_error(to_event))
    }

    /// Turns [`on_error`](Self::on_error) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_on_error();
    /// ```
    #[must_use]
    pub fn without_on_error(self) -> Self {
        self.options(StreamOptions::new().without_on_error())
    }

    /// Calls a closure with a [`CloseReport`] when a stream has closed, exactly once for each
    /// stream that was opened.
    ///
    /// It is called on every exit path, even if the client disconnects before the response head,
    /// the body is never polled or the source panics. Before the call, the source is dropped and
    /// the permit of [`max_streams`](Self::max_streams) is freed.
    ///
    /// The closure must not block. It runs in the server's task, or on the thread that drops the
    /// body, even while that thread unwinds from a panic. A panic in it is caught and logged. With
    /// feature `tracing`, it is called in the request's span, and every close is logged at DEBUG.
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

    /// Turns all closures of [`on_close`](Self::on_close) off, which is the default.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let common: SseLayer = SseLayer::new();
    /// let layer = common.clone().without_on_close();
    /// ```
    #[must_use]
    pub fn without_on_close(self) -> Self {
        self.options(StreamOptions::new().without_on_close())
    }
}
