use std::{borrow::Cow, time::Duration};

use super::{
    field::InvalidField,
    id::{EventId, Id, IntoEventId},
    name::{EventName, IntoEventName},
};

/// An event of a stream, before it is encoded.
///
/// Each method is named after the wire-format field that it sets. A second call replaces the
/// field's value.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Encoded, Event};
///
/// let event = Event::new()
///     .event("tick")
///     .id(42)
///     .retry(Duration::from_secs(2))
///     .data("line 1\nline 2");
///
/// assert_eq!(
///     Encoded::from(event).as_bytes(),
///     b"retry: 2000\nevent: tick\nid: 42\ndata: line 1\ndata: line 2\n\n",
/// );
/// ```
///
/// Text converts into an event with that data: `Event::from("text")`, `Event::from(string)`. A
/// `String` is moved, and a `&str` is copied; [`from_static`](Self::from_static) does not copy.
///
/// Two events are equal if their bytes in the wire format are.
///
/// # How clients treat it
///
/// | fields | effect |
/// |---|---|
/// | [`data`](Self::data), even if it is empty | Clients dispatch the event to page code. |
/// | no data, but a name or an [`id`](Self::id) | By the standard, clients do not dispatch the event; a few dispatch an empty message. Whether the id counts depends on the client. |
/// | only a [`comment`](Self::comment) or [`retry`](Self::retry) | The lines are written without an empty line after them, because some clients dispatch an empty message for a block without data. |
/// | none | Nothing is written. |
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Event {
    pub(super) data: Option<Cow<'static, str>>,
    pub(super) name: Option<EventName>,
    pub(super) id: Option<Id>,
    /// Boxed, because these fields are rare and an event is moved several times before it is
    /// encoded.
    pub(super) rare: Option<Box<RareFields>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RareFields {
    pub(super) comment: Option<String>,
    pub(super) retry: Option<Duration>,
}

impl Event {
    /// Creates an event without any field.
    pub const fn new() -> Self {
        Self { data: None, name: None, id: None, rare: None }
    }

    /// Creates an event whose data is a literal, which is not copied.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// const DONE: Event = Event::from_static("[DONE]");
    ///
    /// assert_eq!(DONE.id(7), Event::new().id(7).data("[DONE]"));
    /// ```
    pub const fn from_static(data: &'static str) -> Self {
        Self { data: Some(Cow::Borrowed(data)), name: None, id: None, rare: None }
    }

    /// Sets the `event` field: the event's name, for which page code listens with
    /// `addEventListener("tick", …)`. An event without a name, or with an empty one, has the name
    /// `message`.
    ///
    /// Avoid the names `open` and `error`. `EventSource` dispatches events of its own with these
    /// names, and listeners cannot distinguish them.
    ///
    /// # Panics
    ///
    /// Panics if a literal contains a line feed, a carriage return or U+0000. Text that is known
    /// only at run time must be an [`EventName`], which cannot contain them, or be passed to
    /// [`try_event`](Self::try_event).
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        self.name = Some(name.into_name());
        self
    }

    /// Sets the `event` field to text that is known only at run time.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` contains a line feed, a carriage return or U+0000.
    ///
    /// ```
    /// use tower_sse::{Event, InvalidField};
    ///
    /// fn price(ticker: &str, price: u32) -> Result<Event, InvalidField> {
    ///     Ok(Event::new().try_event(ticker)?.data(price.to_string()))
    /// }
    ///
    /// assert!(price("acme", 42).is_ok());
    /// assert!(price("acme\nid: forged", 42).is_err());
    /// ```
    pub fn try_event(mut self, name: impl Into<String>) -> Result<Self, InvalidField> {
        self.name = Some(EventName::try_from(name.into())?);
        Ok(self)
    }

    /// Sets the `id` field. Until it receives another id, the client sends this one as
    /// `Last-Event-ID` when it reconnects. An empty id clears the client's last event id.
    ///
    /// To advance a client's last event id without an event for the page, send the id with empty
    /// data and a name that the page does not listen for. Clients treat an id without data
    /// differently:
    ///
    /// | Client | An id without data | An id with empty data |
    /// |---|---|---|
    /// | Chromium, as the HTML standard specifies | counts | counts |
    /// | Firefox | is ignored | counts |
    /// | WebKit | counts if an event with data follows before the client reconnects | counts |
    ///
    /// ```
    /// use tower_sse::{Encoded, Event};
    ///
    /// let checkpoint = Event::new().event("checkpoint").id(42).data("");
    /// assert_eq!(Encoded::from(checkpoint).as_bytes(), b"event: checkpoint\nid: 42\ndata: \n\n");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a literal contains a line feed, a carriage return or U+0000. Text that is known
    /// only at run time must be an [`EventId`], which cannot contain them, or be passed to
    /// [`try_id`](Self::try_id).
    #[track_caller]
    pub fn id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_id());
        self
    }

    /// Sets the `id` field to text that is known only at run time.
    ///
    /// # Errors
    ///
    /// Returns an error if `id` contains a line feed, a carriage return or U+0000.
    ///
    /// ```
    /// use tower_sse::{Event, InvalidField};
    ///
    /// fn row(cursor: &str) -> Result<Event, InvalidField> {
    ///     Ok(Event::new().try_id(cursor)?.data("…"))
    /// }
    ///
    /// assert_eq!(row("eu-17")?, Event::new().id("eu-17").data("…"));
    /// assert_eq!(row("7\ndata: forged").unwrap_err().position(), 1);
    /// # Ok::<_, InvalidField>(())
    /// ```
    pub fn try_id(mut self, id: impl Into<String>) -> Result<Self, InvalidField> {
        self.id = Some(Id::Text(EventId::try_from(id.into())?));
        Ok(self)
    }

    /// Sets the `retry` field: how long the client waits before it reconnects. It applies until
    /// another `retry` field replaces it.
    ///
    /// The time is written in whole milliseconds, rounded down. Clients in Node reconnect at once
    /// if the time exceeds 2³¹−1 milliseconds, the limit of `setTimeout`.
    ///
    /// [`SseLayer::retry`](crate::SseLayer::retry) sets a reconnection time at the start of every
    /// stream.
    pub fn retry(mut self, reconnection_time: Duration) -> Self {
        self.rare_fields().retry = Some(reconnection_time);
        self
    }

    /// Sets a comment, which clients ignore. Every line of `text` becomes a comment line, so any
    /// text is safe.
    ///
    /// A `String` is moved, and a `&str` is copied.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.rare_fields().comment = Some(text.into());
        self
    }

    /// Sets the `data` field, which page code reads as `event.data`.
    ///
    /// Every line of `text` becomes a `data` line, so any text is safe. The client joins the lines
    /// with line feeds, so a CR or CRLF arrives as an LF. A trailing line break is kept.
    ///
    /// A `String` is moved, and a `&str` is copied. For a literal,
    /// [`from_static`](Self::from_static) avoids the copy.
    pub fn data(mut self, text: impl Into<String>) -> Self {
        self.data = Some(Cow::Owned(text.into()));
        self
    }

    fn rare_fields(&mut self) -> &mut RareFields {
        self.rare.get_or_insert_default()
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for Event {}

impl From<&str> for Event {
    /// Creates an event with a copy of this data.
    fn from(data: &str) -> Self {
        Self::new().data(data)
    }
}

impl From<Cow<'_, str>> for Event {
    /// Creates an event with this data.
    fn from(data: Cow<'_, str>) -> Self {
        Self::new().data(data)
    }
}

impl From<&String> for Event {
    /// Creates an event with a copy of this data.
    fn from(data: &String) -> Self {
        Self::new().data(data)
    }
}

impl From<String> for Event {
    /// Creates an event with this data.
    fn from(data: String) -> Self {
        Self::new().data(data)
    }
}
