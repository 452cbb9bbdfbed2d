use std::{borrow::Cow, fmt, ops::Deref, sync::Arc, time::Duration};

use super::{Event, EventId, EventName, event_ref::NO_NAME, one_line::is_one_line};

/// An event as clients dispatch it to page code.
///
/// A [`Decoder`](crate::Decoder) returns messages. Tests and proxies can also create messages:
///
/// ```
/// use tower_sse::{Decoder, Message};
///
/// let mut stream = &b"id: 7\nevent: tick\ndata: one\n\n"[..];
/// let message = Decoder::new().decode(&mut stream)?;
/// assert_eq!(message, Some(Message::new("one").event("tick").last_event_id("7")));
/// # Ok::<_, tower_sse::EventTooLarge>(())
/// ```
///
/// # Sending a message on
///
/// A message converts into an [`Event`], so a proxy can change the events of another server:
///
/// ```
/// use tower_sse::{Encoded, Event, Message};
///
/// let mut message = Message::new("two\nlines").last_event_id("7");
/// message.data.make_ascii_uppercase();
/// assert_eq!(
///     Encoded::from(Event::from(message)).as_bytes(),
///     b"id: 7\ndata: TWO\ndata: LINES\n\n",
/// );
/// ```
///
/// From this event, clients decode the message's name, data, last event id and reconnection time.
/// The bytes can differ from the bytes of the original event:
///
/// - If the message's `event` is `message` or empty, the new event has no `event` field.
/// - If `last_event_id` is not empty, the new event has an `id` field, even if the source sent the
///   id with an earlier event and did not repeat it.
/// - If `last_event_id` is empty because the stream [cleared](Self::last_event_id()) the id, the
///   new event has an empty `id` field. If `last_event_id` is empty for another reason, the new
///   event has no `id` field.
///
/// No text can forge other fields, but some text is changed or omitted:
///
/// - Clients decode a CR or CRLF in `data` as a line feed.
/// - In `event`, U+FFFD replaces line breaks and U+0000.
/// - A `last_event_id` with a line break or U+0000 is omitted: with a changed id, a client could
///   resume at a wrong position.
///
/// A decoder never returns such text, except U+0000 in `event`.
///
/// A [hub](crate::hub) assigns the ids itself, and rejects an event that already has an id, so
/// publish a message [without its id](Self::without_id).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The event's name; `message` if the event has none.
    pub event: Cow<'static, str>,
    /// The event's data, with its lines joined by line feeds.
    pub data: String,
    /// The newest id so far, sent with this event or an earlier one. Empty if the stream has sent
    /// no id, or if the newest id was empty.
    pub last_event_id: MessageId,
    /// The newest reconnection time that the stream has sent since the previous message. `None` if
    /// it has sent none since then.
    pub retry: Option<Duration>,
    /// The last event id is empty because the stream cleared it.
    pub(super) clears_id: bool,
}

impl Message {
    /// Creates a message with this data and the name `message`, without an id.
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            event: Cow::Borrowed(NO_NAME),
            data: data.into(),
            last_event_id: MessageId::default(),
            retry: None,
            clears_id: false,
        }
    }

    /// Sets the event's name.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.event = Cow::Owned(name.into());
        self
    }

    /// Sets the last event id. An empty `id` differs from no id: it means that the stream has
    /// cleared the id with an empty `id` field.
    #[must_use]
    pub fn last_event_id(mut self, id: impl Into<MessageId>) -> Self {
        self.last_event_id = id.into();
        self.clears_id = self.last_event_id.is_empty();
        self
    }

    /// Returns the message without its last event id.
    ///
    /// A [hub](crate::hub) does not publish events that have an id, so remove the id first:
    ///
    /// ```
    /// # #[cfg(feature = "hub")]
    /// # async fn publish(hub: tower_sse::hub::Hub) -> Result<(), tower_sse::hub::PublishError> {
    /// # use tower_sse::Message;
    /// # let message = Message::new("…").last_event_id("7");
    /// hub.publish("news", message.without_id()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_id(self) -> Self {
        Self { last_event_id: MessageId::default(), clears_id: false, ..self }
    }

    /// Sets the reconnection time.
    #[must_use]
    pub const fn retry(mut self, reconnection_time: Duration) -> Self {
        self.retry = Some(reconnection_time);
        self
    }
}

impl From<Message> for Event {
    /// Converts the message into an event. See [`Message`] for the fields that are written, and for
    /// text that is changed or omitted.
    fn from(message: Message) -> Self {
        let Message { event, data, last_event_id, retry, clears_id } = message;
        let mut converted = Self::new().data(data);
        if let Some(name) = name(event) {
            converted = converted.event(name);
        }
        if let (true, Ok(id)) =
            (clears_id || !last_event_id.is_empty(), EventId::try_from(&*last_event_id))
        {
            converted = converted.id(id);
        }
        match retry {
            Some(reconnection_time) => converted.retry(reconnection_time),
            None => converted,
        }
    }
}

/// Returns the name for the `event` field, or `None` if the event needs no such field.
fn name(name: Cow<'static, str>) -> Option<EventName> {
    if matches!(&*name, "" | NO_NAME) {
        return None;
    }
    let one_line = match name {
        name if is_one_line(&name) => name.into_owned(),
        name => name.replace(['\n', '\r', '\0'], "\u{fffd}"),
    };
    EventName::try_from(one_line).ok()
}

/// The last event id of a [`Message`]: text that is empty if there is no id, or if the stream
/// [cleared](Message::last_event_id()) the id.
///
/// Cloning is cheap, because clones share the text.
///
/// ```
/// use tower_sse::{Message, MessageId};
///
/// let mut message = Message::new("one");
/// assert_eq!(&*message.last_event_id, "");
/// message.last_event_id = MessageId::from("7");
/// assert_eq!(&*message.last_event_id, "7");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct MessageId(
    /// `None` if the text is empty: many streams have no ids, and to share empty text would change a
    /// reference count for each message.
    Option<Arc<str>>,
);

impl Deref for MessageId {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self((!id.is_empty()).then(|| id.into()))
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self::from(&*id)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
