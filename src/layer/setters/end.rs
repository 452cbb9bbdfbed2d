use std::{error::Error, sync::Arc};

use super::SseLayer;
use crate::{
    callback::Opaque,
    event::Event,
    options::{MaxAge, StreamOptions},
    streams::Streams,
};

/// Options of how streams end.
impl<M> SseLayer<M> {
    /// Sends an event after the source has ended cleanly. By default none is sent.
    ///
    /// OpenAI's clients wait for `[DONE]`. Page code can close its `EventSource` at such an event;
    /// otherwise it reconnects.
    ///
    /// - If the source fails or ends mid-event, the event is not sent.
    /// - Set it on streams that you generate. A body that is forwarded from an
    ///   [upstream](crate::guide::upstreams) has a terminator of its own.
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
    /// answer. Stop it [by an error](crate::guide::errors#stopping-a-stream) instead.
    #[must_use]
    pub fn terminator(self, terminator: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Turns an error of the source into a last event. The stream then ends cleanly, without the
    /// [terminator](Self::terminator).
    ///
    /// The closure receives [the error of the
    /// program](crate::guide::errors#the-error-of-the-program), and can call
    /// `error.downcast_ref::<MyError>()`. For a [run](crate::runs) of another process, it receives a
    /// [`RunError`](crate::runs::RunError), which has only the text.
    ///
    /// Without a closure, an error of the source fails the body, so that clients notice it and
    /// reconnect. With one, the client still receives no event of it in these cases:
    ///
    /// - The source failed mid-event, or the stream has a content coding: the closure is not called,
    ///   because no event can be written, and the body fails.
    /// - The error is a [cancellation](Self::cancellation_if): the closure is not called, and the
    ///   stream ends as that method describes.
    /// - The closure panicked, or returned an event with neither data nor a name, which no client
    ///   would dispatch: the body fails.
    ///
    /// The events before the error are sent first, and the body fails [a little
    /// later](crate::guide::errors#timing). A client that reads slowly may still lose the last
    /// events. A failing body also causes [log lines](crate::guide::errors#logs) of the server
    /// and of proxies.
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

    /// Treats errors of the source for which the closure returns `true` as cancellations: the program
    /// itself ended the source.
    ///
    /// By default, only the [`JoinError`](tokio::task::JoinError) of a cancelled task is a
    /// cancellation. A cancellation differs from a failure:
    ///
    /// - [`on_error`](Self::on_error) is not called, and nothing is logged above DEBUG.
    /// - The close reason is [`Cancelled`](crate::CloseReason::Cancelled).
    /// - Between events, the stream of an `EventSource` ends cleanly. Every other body fails, because
    ///   the client would mistake a partial answer for the complete one. Mid-event, and with a content
    ///   coding, every body fails.
    ///
    /// Do not return `true` for the reset or timeout of an upstream, because the rest of its answer
    /// is then missing. A client that disconnects causes no error of the source. The page
    /// [errors](crate::guide::errors#cancellations) has predicates for tonic and hyper.
    ///
    /// The closure is called with [the error of the
    /// program](crate::guide::errors#the-error-of-the-program), and then with each of its causes
    /// ([`source`](Error::source), or what an `io::Error` wraps) until it returns `true`. A panic in it
    /// counts as `false`.
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
        config.options =
            Arc::new(config.options.with_cancellation_if(Opaque(Arc::new(is_cancellation))));
        self
    }

    /// Makes streams end when the program closes one of their subjects: see the module
    /// [streams](crate::streams). By default streams have no subjects.
    ///
    /// The layer inserts [`Subjects`](crate::streams::Subjects) into every request's extensions.
    /// Middleware and handlers inside of it add the subjects of the request.
    ///
    /// ```
    /// use tower_sse::{SseLayer, streams::Streams};
    ///
    /// let streams = Streams::new();
    /// # let layer: SseLayer =
    /// SseLayer::new().streams(&streams);
    /// ```
    #[doc(alias = "revoke")]
    #[doc(alias = "log_out")]
    #[must_use]
    pub fn streams(mut self, streams: &Streams) -> Self {
        let config = self.config_mut();
        config.streams = Some(streams.clone());
        config.update_tracking();
        self
    }

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
}
