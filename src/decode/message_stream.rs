use std::task::{Context, Poll, ready};
use std::{io, pin::Pin, time::Duration};

use bytes::Buf;
use futures_core::Stream;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{Decoder, Message};
use crate::signals::ItemError;
use crate::{BoxError, coop::CoopBudget, idle_timer::IdleTimer, options::IdleInterval};

pin_project! {
    /// A [`Stream`] of the [`Message`]s in the body of another server's response.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use tower_sse::decode::{Message, MessageStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_sse::BoxError> {
    /// // Any `http_body::Body`; a `String` is the simplest one.
    /// let body = "data: one\n\nevent: tick\ndata: two\n\n".to_owned();
    /// let mut messages = MessageStream::new(body);
    /// assert_eq!(messages.try_next().await?, Some(Message::new("one")));
    /// let two = messages.try_next().await?.unwrap();
    /// assert_eq!((&*two.event, &*two.data), ("tick", "two"));
    /// assert_eq!(messages.try_next().await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [Upstreams](crate::guide::upstreams) has examples of gateways, and shows when a
    /// [filter](crate::guide::upstreams#bytes-filter-messages-or-run) is the better choice. For a
    /// `reqwest::Response`, call `MessageStream::new(reqwest::Body::from(response))`. With
    /// http-body-util, a stream of `Result<Bytes, E>` becomes a body:
    /// `StreamBody::new(stream.map_ok(Frame::data))`.
    ///
    /// # The end of the stream
    ///
    /// When the body ends, the stream discards an incomplete event and ends. If the body fails, the
    /// stream returns the messages before the failure, then the error, then ends. If an event
    /// exceeds the [decoder's limit](Decoder::max_event_size), the stream returns
    /// [`EventTooLarge`](super::EventTooLarge) as the error and ends. Once the stream has ended, it
    /// returns `None`, and the body is dropped.
    ///
    /// The stream doesn't reconnect. To reconnect, use [`last_event_id`](Self::last_event_id) and
    /// [`retry`](Self::retry), as the example
    /// [`proxy`](https://docs.rs/crate/tower-sse/latest/source/examples/proxy.rs) does.
    ///
    /// # Cancel safety
    ///
    /// You can drop a future that waits for a message, such as the one from `StreamExt::next`,
    /// without losing a message.
    #[must_use = "streams do nothing unless polled"]
    pub struct MessageStream<B>
    where
        B: Body,
    {
        #[pin]
        body: Option<B>,
        // The part of the last frame that is not decoded.
        data: Option<B::Data>,
        decoder: Decoder,
        terminator: Option<String>,
        // The limit that `max_silence` sets, and the timer of the body's silence.
        silence: Option<(Duration, Pin<Box<IdleTimer>>)>,
        budget: CoopBudget,
    }
}

impl<B: Body> MessageStream<B> {
    /// Creates a stream of the messages in `body`. The stream fails if an event exceeds 1 MiB.
    pub fn new(body: B) -> Self {
        Self::with_decoder(body, Decoder::new())
    }

    /// Creates a stream of the messages in `body`, decoded by `decoder`.
    pub fn with_decoder(body: B, decoder: Decoder) -> Self {
        Self {
            body: Some(body),
            data: None,
            decoder,
            terminator: None,
            silence: None,
            budget: CoopBudget::default(),
        }
    }

    /// Ends the stream at the message with this data, such as `[DONE]`, without returning that
    /// message. If the body ends earlier, the stream returns an error whose
    /// [kind](std::io::Error::kind) is [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof), and
    /// ends. By default, the end of the body isn't an error.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use tower_sse::decode::MessageStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // The upstream broke off after half of its answer.
    /// let body = "data: half of the\n\n".to_owned();
    /// let mut messages = MessageStream::new(body).terminator("[DONE]");
    /// assert_eq!(messages.try_next().await.unwrap().unwrap().data, "half of the");
    /// assert!(messages.try_next().await.is_err());
    /// # }
    /// ```
    pub fn terminator(mut self, data: impl Into<String>) -> Self {
        self.terminator = Some(data.into());
        self
    }

    /// Sets the initial last event id: the `Last-Event-ID` that your program sent to the upstream.
    /// Until the body sends an id, messages have this id, and
    /// [`last_event_id`](Self::last_event_id) returns it.
    pub fn after(mut self, last_event_id: impl AsRef<str>) -> Self {
        self.decoder.start_after(last_event_id.as_ref());
        self
    }

    /// Limits how long the stream waits for the body's next bytes. When the limit is reached, the
    /// stream returns an error whose [kind](std::io::Error::kind) is
    /// [`TimedOut`](std::io::ErrorKind::TimedOut), and ends. There's no limit by default.
    ///
    /// Heartbeats and other comments restart the wait. If the upstream sends heartbeats, choose a
    /// limit of several of their intervals. The time that you spend on a message doesn't count.
    ///
    /// # Panics
    ///
    /// Poll the stream in a tokio runtime with timers enabled. Otherwise, polling panics once the
    /// stream has to wait.
    pub fn max_silence(mut self, limit: Duration) -> Self {
        self.silence = Some((limit, Box::pin(IdleTimer::default())));
        self
    }

    /// Returns the value that a client would send as `Last-Event-ID` if it reconnected now, or an
    /// empty string if it would send none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the last reconnection time that the body has sent, if any. It can be zero or very
    /// long, so set bounds for your delay.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
    }
}

impl<B: Body<Error: Into<BoxError>>> MessageStream<B> {
    /// Waits for data, or until the silence exceeds the limit. Returns `None` at the body's end.
    fn poll_data(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), BoxError>>> {
        // If the program leaves no budget to poll the body, that doesn't count as silence.
        ready!(CoopBudget::poll_ready(cx));
        let polled = self.as_mut().poll_body(cx);
        let Some((limit, timer)) = self.project().silence else { return polled };
        if polled.is_ready() {
            timer.as_mut().reset();
            return polled;
        }
        ready!(timer.as_mut().poll_interval(cx, IdleInterval { length: *limit, grid: None }));
        let text = format!("event stream sent nothing for {limit:?}");
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, text).into())))
    }

    /// Reads frames until one has data and keeps that data.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<(), BoxError>>> {
        let mut this = self.project();
        while let Some(body) = this.body.as_mut().as_pin_mut() {
            // Removes the mark `ItemError`, so that a body made by this crate fails with the same
            // error as another server's body.
            let unmarked = |error: B::Error| ItemError::unmark(error.into());
            let polled = body.poll_frame(cx).map_err(unmarked)?;
            let Some(frame) = ready!(polled) else { break };
            let Some(data) = frame.into_data().ok().filter(Buf::has_remaining) else {
                ready!(this.budget.poll_empty(cx));
                ready!(CoopBudget::poll_ready(cx));
                continue;
            };
            // Decoding many comments would otherwise spend no budget.
            this.budget.spend(cx, data.remaining());
            *this.data = Some(data);
            return Poll::Ready(Some(Ok(())));
        }
        Poll::Ready(None)
    }

    fn missing_terminator(&self) -> Option<BoxError> {
        let terminator = self.terminator.as_ref()?;
        let text = format!("event stream ended without {terminator:?}");
        Some(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
    }
}

impl<B: Body<Error: Into<BoxError>>> Stream for MessageStream<B> {
    type Item = Result<Message, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let this = self.as_mut().project();
            let decoded = match this.data {
                Some(data) => this.decoder.decode(data),
                None => Ok(None),
            };
            let last = match decoded {
                Ok(Some(message)) if this.terminator.as_ref() == Some(&message.data) => None,
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {
                    *this.data = None;
                    let was_open = this.body.is_some();
                    match ready!(self.as_mut().poll_data(cx)) {
                        Some(Ok(())) => continue,
                        Some(Err(error)) => Some(Err(error)),
                        None if was_open => self.missing_terminator().map(Err),
                        None => None,
                    }
                }
                Err(error) => Some(Err(error.into())),
            };
            // The stream has ended.
            let mut this = self.project();
            *this.data = None;
            this.body.set(None);
            return Poll::Ready(last);
        }
    }
}

opaque_debug!(MessageStream<B: Body>);
