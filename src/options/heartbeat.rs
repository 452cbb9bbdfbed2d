use std::time::Duration;

use bytes::Bytes;

use crate::event::{Encoded, Event, IntoEventName, whole_milliseconds};

/// The heartbeat of an idle stream. It keeps proxies and load balancers from closing an idle
/// connection and lets the server notice a peer that has vanished.
///
/// By default, the layer sends the comment line `: ` after the stream has sent nothing for 15
/// seconds.
///
/// A stream with a content coding has no heartbeats. While a line is incomplete, heartbeats are
/// skipped.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, SseLayer};
/// let heartbeat = Heartbeat::every(Duration::from_secs(20)).comment("still here");
/// let layer: SseLayer = SseLayer::new().heartbeat(heartbeat);
/// ```
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

/// The shortest comment that all clients ignore: RESTEasy's client drops the line after a bare `:`.
pub(crate) const COMMENT_LINE: Bytes = Bytes::from_static(b": \n");

impl Heartbeat {
    /// Creates a heartbeat that is sent after each `interval` without a byte.
    ///
    /// Choose an interval at least a tenth shorter than every [idle
    /// timeout](crate::guide::proxies#idle-timeouts) between client and server. Heartbeats can be
    /// late by a sixteenth of the interval. Some clients wait for only 5 or 10 seconds: a [table]
    /// has their settings.
    ///
    /// [table]: https://docs.rs/crate/tower-sse/latest/source/docs/clients.md
    ///
    /// # Panics
    ///
    /// Panics if `interval` is zero.
    #[track_caller]
    pub fn every(interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the interval of heartbeats cannot be zero");
        Self { interval, comment: COMMENT_LINE, event: None }
    }

    /// Sets the comment's text. Every line of the text becomes a comment line.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Encoded::from(Event::new().comment(text)).into();
        self
    }

    /// Sends an event instead of the comment, so a page can tell an idle source from a broken
    /// connection. If the heartbeat is due in the middle of another event, the comment is sent
    /// instead.
    ///
    /// A page sees only the events that it listens to. So a heartbeat event comes after each
    /// interval, even if other events come. A stream also begins with one, which shows that the
    /// stream passes. It doesn't if it's a [long poll](crate::StreamOptions::long_poll), if an
    /// [early head](crate::early_head) came before the answer, or if the client is a
    /// [library](crate::ClientKind::Library). A layer inside of a
    /// [`RunLayer`](crate::runs::RunLayer) sends none.
    ///
    /// As data, set JSON such as `{}`: some clients decode the data of every event. With an empty
    /// name, the event has no `event` line, for clients that know only `data`.
    ///
    /// The event repeats the id that ended the previous event. Before the first event, it has the
    /// id with which a hub's stream starts or resumes, or else the id that the client sent. It has
    /// none if the source's last frame doesn't end with an id line and an empty line. At an event
    /// without an id, some clients forget their id and miss events when they reconnect.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    /// let heartbeat = Heartbeat::every(Duration::from_secs(10)).event("heartbeat", "{}");
    /// let layer: SseLayer = SseLayer::new().heartbeat(heartbeat);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `name` is a string literal that contains a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName, data: impl Into<String>) -> Self {
        let (name, event) = (name.into_name(), Event::new().data(data));
        let event = if name.as_str().is_empty() { event } else { event.event(name) };
        self.event = Some(Encoded::from(event).into());
        self
    }

    /// Sends the event `heartbeat`, whose data is the interval in milliseconds. From it,
    /// [`tower-sse.js`](crate::page) learns how long a silence may last.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    /// let heartbeat = Heartbeat::every(Duration::from_secs(5)).for_pages();
    /// let layer: SseLayer = SseLayer::new().for_pages().heartbeat(heartbeat);
    /// ```
    pub fn for_pages(self) -> Self {
        let interval = whole_milliseconds(self.interval);
        self.event("heartbeat", interval.to_string())
    }

    /// Returns the heartbeat to send between events. A heartbeat event ends with `id_line`, which
    /// has the client's id and an empty line, unless the id is unknown.
    pub(crate) fn between_events(&self, id_line: Option<&Bytes>) -> Bytes {
        self.event.as_ref().map_or_else(|| self.comment.clone(), |event| with_id(event, id_line))
    }
}

/// Returns the line of an id and an empty line.
pub(crate) fn id_line(id: impl AsRef<str>) -> Bytes {
    ["id: ", id.as_ref(), "\n\n"].concat().into()
}

/// Returns an event of the layer with `id_line` at its end: the client's id and an empty line. Some
/// clients forget their id at an event without one. Returns the event unchanged if it has an id of
/// its own, or if the client's id is unknown.
pub(crate) fn with_id(event: &Bytes, id_line: Option<&Bytes>) -> Bytes {
    let has_id = event.windows(4).any(|bytes| bytes == b"\nid:");
    let id_line = id_line.filter(|line| !line.is_empty() && !has_id);
    match (event.strip_suffix(b"\n"), id_line) {
        (Some(open), Some(id_line)) => [open, id_line].concat().into(),
        _ => event.clone(),
    }
}

impl From<Duration> for Heartbeat {
    /// Calls [`Heartbeat::every`].
    fn from(interval: Duration) -> Self {
        Self::every(interval)
    }
}

impl Default for Heartbeat {
    /// Returns a heartbeat that sends the comment line `: ` after 15 seconds without a byte.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}
