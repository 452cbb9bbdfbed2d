use std::fmt::Display;
use std::{error::Error, future::Future, mem, panic::Location, sync::Arc, time::Duration};

use http::{Response, Uri, header::CONTENT_TYPE};
use http_body::Body;
use tokio::time::timeout;

use super::reader::{BodyBytes, End, StreamReader};
use crate::{BoxError, decode::Message, headers::is_event_stream, signals::source_error};

/// How long a test waits by default. Longer than the default interval of heartbeats.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// An event stream as a client receives it, from a [`TestClient`](super::TestClient) or from any
/// response. Dropping it disconnects the client.
///
/// ```
/// use tower_sse::{Event, decode::Message, testing::TestStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let response = tower_sse::response(futures_util::stream::iter(["one", "two"].map(Event::from)));
/// let mut events = TestStream::new(response);
/// assert_eq!(events.next().await, Message::new("one"));
/// assert_eq!(events.collect().await, [Message::new("two")]);
/// # }
/// ```
///
/// # Panics
///
/// A method panics if what it waits for doesn't come within 30 seconds
/// ([`time_limit`](Self::time_limit)), or can no longer come. The panic message names the caller's
/// line and lists the newest messages and comments. Waiting also panics outside of a tokio
/// runtime, or if the runtime's timers aren't enabled. If tokio's clock is paused, waiting takes no
/// real time.
///
/// # Cancel safety
///
/// If the future of [`take`](Self::take) is dropped, the messages that it has received are lost.
/// You can drop any other method's future without losing messages or comments.
#[must_use = "dropping the stream disconnects the client"]
pub struct TestStream {
    pub(super) reader: StreamReader,
    pub(super) time_limit: Duration,
    opened: Option<Opened>,
}

pub(super) struct Opened {
    pub(super) uri: Uri,
    pub(super) _service: Arc<dyn Send + Sync>,
}

impl TestStream {
    /// Creates a stream that reads this response.
    ///
    /// # Panics
    ///
    /// Panics if the response is not an event stream.
    #[track_caller]
    pub fn new<B>(response: Response<B>) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let (head, body) = response.into_parts();
        assert!(
            is_event_stream(head.status, &head.headers),
            "not an event stream: status {}, content type {:?}",
            head.status,
            head.headers.get(CONTENT_TYPE),
        );
        Self::from_body(body)
    }

    /// Creates a stream that reads this body.
    pub fn from_body<B>(body: B) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let reader = StreamReader::new(BodyBytes::new(body));
        Self { reader, time_limit: TIME_LIMIT, opened: None }
    }

    pub(super) fn opened(body: BodyBytes, last_event_id: &str, opened: Opened) -> Self {
        let mut reader = StreamReader::new(body);
        reader.decoder.start_after(last_event_id);
        Self { reader, time_limit: TIME_LIMIT, opened: Some(opened) }
    }

    pub(super) fn uri(&self) -> Option<&Uri> {
        self.opened.as_ref().map(|opened| &opened.uri)
    }

    /// Sets how long a method waits before it panics. The default is 30 seconds.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Returns the next message.
    ///
    /// # Panics
    ///
    /// Panics if the stream ends or fails first.
    // The same name as `StreamExt::next`.
    #[allow(clippy::should_implement_trait)]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Message> + Send {
        let caller = Location::caller();
        self.wait("a message", caller, |reader| reader.messages.pop_front())
    }

    /// Returns the next `count` messages. The time limit applies to each message.
    ///
    /// # Panics
    ///
    /// Panics if the stream ends or fails before the last of these messages.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> impl Future<Output = Vec<Message>> + Send {
        let caller = Location::caller();
        async move {
            let mut messages = Vec::new();
            while messages.len() < count {
                let what = format!("message {} of {count}", messages.len() + 1);
                let next = self.wait(what, caller, |reader| reader.messages.pop_front());
                messages.push(next.await);
            }
            messages
        }
    }

    /// Reads the stream to its end and returns all remaining messages. An incomplete last event is
    /// discarded.
    ///
    /// # Panics
    ///
    /// Panics if the body fails, if the stream does not end within the time limit, or if more than
    /// 100,000 messages and comments come before the end.
    #[track_caller]
    pub fn collect(&mut self) -> impl Future<Output = Vec<Message>> + Send {
        let caller = Location::caller();
        self.wait("the clean end", caller, |reader| {
            matches!(reader.end, Some(End::Clean)).then(|| mem::take(&mut reader.messages).into())
        })
    }

    /// Waits until the body fails. Returns the error as
    /// [`on_error`](crate::SseLayer::on_error) would receive it. This method doesn't consume the
    /// messages that come before the error: [`next`](Self::next) and [`take`](Self::take) return
    /// them.
    ///
    /// # Panics
    ///
    /// Panics if the stream ends without an error.
    #[track_caller]
    pub fn error(&mut self) -> impl Future<Output = &(dyn Error + 'static)> + Send {
        let caller = Location::caller();
        async move {
            let has_failed = |reader: &mut StreamReader| {
                matches!(reader.end, Some(End::Failed(_))).then_some(())
            };
            self.wait("an error of the body", caller, has_failed).await;
            match &self.reader.end {
                Some(End::Failed(error)) => source_error(&**error),
                _ => unreachable!("`wait` returned because the body has failed"),
            }
        }
    }

    /// Returns the text of the next comment, without the leading colon and space. The text of a
    /// default heartbeat is empty.
    ///
    /// This method doesn't consume the messages that come before the comment: [`next`](Self::next)
    /// returns them. This method also returns comments that `next` has skipped.
    ///
    /// # Panics
    ///
    /// Panics if the stream ends or fails first.
    #[track_caller]
    pub fn next_comment(&mut self) -> impl Future<Output = String> + Send {
        let caller = Location::caller();
        self.wait("a comment", caller, |reader| reader.comments.pop_front())
    }

    /// Waits for `duration`, whatever the time limit is, and asserts that there is no message to
    /// read. Comments may come.
    ///
    /// # Panics
    ///
    /// Panics if a message comes, or if the stream ends or fails.
    #[track_caller]
    pub fn assert_no_message(&mut self, duration: Duration) -> impl Future<Output = ()> + Send {
        let caller = Location::caller();
        async move {
            let next = |reader: &mut StreamReader| reader.messages.pop_front();
            match timeout(duration, self.reader.read_until(next)).await {
                Err(_elapsed) => {}
                Ok(Some(_)) => {
                    self.fail(&format!("a message has come within {duration:?}"), caller)
                }
                Ok(None) => self.fail(&format!("{}within {duration:?}", self.end()), caller),
            }
        }
    }

    /// Returns the `Last-Event-ID` with which a client would reconnect now, or an empty string. The
    /// id can be that of an event that no method has returned yet.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.decoder.last_event_id()
    }

    /// Returns the last reconnection time that has been read so far.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.reader.decoder.retry()
    }

    async fn wait<T>(
        &mut self,
        what: impl Display + Send,
        caller: &Location<'_>,
        take: impl FnMut(&mut StreamReader) -> Option<T> + Send,
    ) -> T {
        let limit = self.time_limit;
        match timeout(limit, self.reader.read_until(take)).await {
            Ok(Some(taken)) => taken,
            Ok(None) => self.fail(&format!("{}while waiting for {what}", self.end()), caller),
            Err(_elapsed) => {
                self.fail(&format!("still waiting for {what} after {limit:?}"), caller)
            }
        }
    }

    fn end(&self) -> String {
        self.reader.end.as_ref().map(|end| format!("{end} ")).unwrap_or_default()
    }

    fn fail(&self, what: &str, caller: &Location<'_>) -> ! {
        // The panic fails the test.
        panic!("{what}, at {caller}\n{}", self.reader);
    }
}

opaque_debug!(TestStream);
