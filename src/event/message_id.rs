use std::{fmt, ops::Deref, sync::Arc};

/// The last event id of a [`Message`](crate::Message): text that is empty if there is no id.
///
/// Cloning it is cheap, and messages with the same id share it.
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
