use std::{borrow::Cow, fmt, ops::Deref, sync::Arc, time::Duration};

use super::event_ref::NO_NAME;
use crate::event::{Event, EventId, EventName, is_one_line};

/// An event as a browser dispatches it to the page.
///
/// A [`Decoder`](super::Decoder) returns messages. Tests and proxies can also create messages:
///
/// ```
/// use tower_sse::decode::{Decoder, Message};
///
/// let mut stream = &b"id: 7\nevent: tick\ndata: one\n\n"[..];
/// let message = Decoder::new().decode(&mut stream)?;
/// let mut expected = Message::new("one");
/// expected.event = "tick".into();
/// expected.last_event_id = "7".into();
/// assert_eq!(message, Some(expected));
/// # Ok::<_, tower_sse::decode::EventTooLarge>(())
/// ```
///
/// # Sending a message on
///
/// A message converts into an [`Event`], so a proxy can change the events of another server:
///
/// ```
/// use tower_sse::{Event, decode::Message, event::Encoded};
///
/// let mut message = Message::new("two\nlines");
/// message.last_event_id = "7".into();
/// message.data.make_ascii_uppercase();
/// assert_eq!(
///     Encoded::from(Event::from(message)).as_bytes(),
///     b"data: TWO\ndata: LINES\nid: 7\n\n",
/// );
/// ```
///
/// The event carries the message's name, data, id and reconnection time, except for text that the
/// format can't carry:
///
/// - A CR or CRLF in `data` arrives as a line feed.
/// - Line breaks and U+0000 in `event` become U+FFFD.
/// - A `last_event_id` with a line break or U+0000 is omitted.
///
/// A `last_event_id` becomes an `id` field, even if the other server sent it with an earlier event.
/// A [hub](crate::hub) assigns ids itself and rejects an event that has an id. Set `last_event_id`
/// to `MessageId::default()` before you publish a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The event's name; `message` if the event has none.
    pub event: Cow<'static, str>,
    /// The event's data, with its lines joined by line feeds.
    pub data: String,
    /// The newest id so far: from this event, an earlier one, or
    /// [`MessageStream::after`](super::MessageStream::after). Empty if there is none, or if the
    /// stream has cleared it.
    pub last_event_id: MessageId,
    /// The newest reconnection time that the stream has sent since the previous message, if any.
    pub retry: Option<Duration>,
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
        }
    }
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        let Message { event, data, last_event_id, retry } = message;
        let mut converted = Self::new().data(data);
        if let Some(name) = name(event) {
            converted = converted.event(name);
        }
        if let Some(Ok(id)) = last_event_id.0.as_deref().map(EventId::try_from) {
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

/// The last event id of a [`Message`].
///
/// It is empty if there has been no id yet (`MessageId::default()`), or if the stream has cleared
/// it with an empty `id` field (`MessageId::from("")`). Clones share the text.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct MessageId(pub(super) Option<Arc<str>>);

impl Deref for MessageId {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<T: Into<Arc<str>>> From<T> for MessageId {
    fn from(id: T) -> Self {
        Self(Some(id.into()))
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
