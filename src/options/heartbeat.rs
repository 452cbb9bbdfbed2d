use std::time::Duration;

use bytes::Bytes;

use crate::event::{Encoded, Event, IntoEventName};

/// The heartbeat of an idle stream. It keeps proxies and load balancers from closing the
/// connection, and lets the server notice a peer that has vanished.
///
/// The default is the comment line `:` after 15 seconds without a byte, as the [HTML standard
/// suggests][html]. [`SseLayer::without_heartbeat`](crate::SseLayer::without_heartbeat) turns it
/// off.
///
/// - A heartbeat is at most a sixteenth of the interval late. Deadlines are rounded up to a common
///   time grid, so that thousands of idle streams share few wake-ups of the runtime.
/// - A comment can be sent in the middle of an event, between two of its lines. A heartbeat that is an
///   [event](Self::event) cannot. While the source is mid-line, heartbeats are skipped.
/// - A stream with a content coding has none.
/// - The comment has no empty line after it, because several clients take such a block for an empty
///   event.
/// - Within an event, the comment ends as the line before it does. Everything else that the layer or a
///   filter inserts into a stream ends in LF.
/// - `@google/genai` for npm discards the event behind a comment. In front of its clients, use a
///   heartbeat that is an [event](Self::event).
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, SseLayer};
///
/// # let layer: SseLayer =
/// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(20)).comment("still here"));
/// # let layer: SseLayer =
/// SseLayer::new().without_heartbeat();
/// ```
///
/// Page code does not see comments. For a [watchdog](crate::guide::clients#a-watchdog) in page code,
/// use [`Heartbeat::event`].
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "keep_alive")]
#[doc(alias = "KeepAlive")]
#[doc(alias = "ping")]
#[must_use]
pub struct Heartbeat {
    pub(crate) interval: Duration,
    /// Comment lines, which can be written wherever a line starts.
    pub(crate) comment: Bytes,
    pub(crate) event: Option<Bytes>,
}

impl Heartbeat {
    /// Creates a heartbeat that is sent after each `interval` without a byte.
    ///
    /// Choose an interval shorter than the shortest idle timeout between client and server: those of
    /// [proxies](crate::guide::proxies#idle-timeouts), and 45 seconds for some polyfills of
    /// `EventSource`.
    ///
    /// # Panics
    ///
    /// Panics if `interval` is zero.
    #[track_caller]
    pub fn every(interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the interval of heartbeats cannot be zero");
        Self { interval, comment: Bytes::from_static(b":\n"), event: None }
    }

    /// Sets the text of the comment. Every line of it becomes a comment line.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Encoded::from(Event::new().comment(text)).into();
        self
    }

    /// Sends an event without an id instead of the comment, so that page code can distinguish an
    /// idle source from a broken connection. The interval is a useful value for the data.
    ///
    /// While the source is mid-event, the comment is sent instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    ///
    /// let interval = Duration::from_secs(10);
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Heartbeat::every(interval).event("heartbeat", "10"));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a literal name has a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName, data: impl Into<String>) -> Self {
        self.event = Some(Encoded::from(Event::new().event(name).data(data)).into());
        self
    }

    /// Returns the bytes that are sent between events.
    pub(crate) fn between_events(&self) -> &Bytes {
        self.event.as_ref().unwrap_or(&self.comment)
    }
}

impl From<Duration> for Heartbeat {
    /// Calls [`Heartbeat::every`].
    fn from(interval: Duration) -> Self {
        Self::every(interval)
    }
}

impl Default for Heartbeat {
    /// Returns the heartbeat that sends a bare comment line after 15 seconds.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}
