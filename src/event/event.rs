use std::{borrow::Cow, time::Duration};

use super::one_line::{InvalidField, is_one_line, one_line_text};

/// An event to send in a stream.
///
/// Setting a field again replaces its value. The id is always an event's last line: some clients
/// keep the id of an event that was cut short and would then resume after that event.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Event, event::Encoded};
///
/// let event = Event::new()
///     .event("tick")
///     .id(42)
///     .retry(Duration::from_secs(2))
///     .data("line 1\nline 2");
///
/// assert_eq!(
///     Encoded::from(event).as_bytes(),
///     b"retry: 2000\nevent: tick\ndata: line 1\ndata: line 2\nid: 42\n\n",
/// );
/// ```
///
/// `Event::from(text)` creates an event with the text as its data. Two events are equal if they
/// encode to the same bytes.
///
/// # How clients treat an event
///
/// | fields | effect |
/// |---|---|
/// | [`data`](Self::data), even if it is empty | Clients dispatch the event to page code. |
/// | no data, but a name or an [`id`](Self::id) | Most clients dispatch nothing, as the HTML standard specifies. A few dispatch an empty message. Some ignore the id. |
/// | only a [`comment`](Self::comment) or [`retry`](Self::retry) | Clients dispatch nothing. No empty line follows, because one would make some clients dispatch an empty message. |
/// | none | Nothing is written. |
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Event {
    pub(super) data: Option<Cow<'static, str>>,
    pub(super) name: Option<EventName>,
    pub(super) id: Option<Id>,
    /// Boxed, because few events have these fields, and an event is moved several times.
    pub(super) rare: Option<Box<RareFields>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RareFields {
    pub(super) comment: Option<String>,
    pub(super) retry: Option<Duration>,
}

impl Event {
    /// Creates an event with no fields.
    pub const fn new() -> Self {
        Self { data: None, name: None, id: None, rare: None }
    }

    /// Creates an event with a string literal as its data, without copying the literal. The event
    /// can be a `const`.
    pub const fn from_static(data: &'static str) -> Self {
        Self { data: Some(Cow::Borrowed(data)), name: None, id: None, rare: None }
    }

    /// Sets the `event` field, the event's name. Page code listens for `tick` events with
    /// `addEventListener("tick", …)`. An event without a name, or with an empty one, is a
    /// `message`. Avoid `open` and `error`, which `EventSource` itself dispatches, and `gap`, which
    /// a [hub](crate::hub#reserved-names) reserves.
    ///
    /// # Panics
    ///
    /// Panics if `name` is a literal that contains a line feed, a carriage return or U+0000. For
    /// text that is known only at run time, use [`try_event`](Self::try_event).
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        self.name = Some(name.into_name());
        self
    }

    /// Sets the `event` field to text that is known only at run time. If users choose it, see the
    /// [reserved names](crate::hub#reserved-names) of hubs.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` contains a line feed, a carriage return or U+0000.
    pub fn try_event(mut self, name: impl Into<String>) -> Result<Self, InvalidField> {
        self.name = Some(EventName::try_from(name.into())?);
        Ok(self)
    }

    /// Sets the `id` field. A client that reconnects sends the last id it received as
    /// `Last-Event-ID`. If that id is empty, the client sends no such header.
    ///
    /// To send only an id, add empty data and a name that the page doesn't listen for.
    ///
    /// ```
    /// use tower_sse::{Event, event::Encoded};
    ///
    /// let checkpoint = Event::new().event("checkpoint").id(42).data("");
    /// assert_eq!(Encoded::from(checkpoint).as_bytes(), b"event: checkpoint\ndata: \nid: 42\n\n");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `id` is a literal that contains a line feed, a carriage return or U+0000. For text
    /// that is known only at run time, use [`try_id`](Self::try_id).
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
    /// use tower_sse::{Event, event::InvalidField};
    ///
    /// fn row(cursor: &str) -> Result<Event, InvalidField> {
    ///     Ok(Event::new().try_id(cursor)?.data("…"))
    /// }
    ///
    /// assert_eq!(row("eu-17")?, Event::new().id("eu-17").data("…"));
    /// assert!(row("7\ndata: forged").is_err());
    /// # Ok::<_, InvalidField>(())
    /// ```
    pub fn try_id(mut self, id: impl Into<String>) -> Result<Self, InvalidField> {
        self.id = Some(Id::Text(EventId::try_from(id.into())?));
        Ok(self)
    }

    /// Sets the `retry` field: how long the client waits before it reconnects. The client keeps
    /// this time until it receives another one. By default, `SseLayer` sends an `EventSource` a new
    /// time at the start of each connection, and often at a clean end behind a heartbeat, unless the
    /// source's first event is ready at once and sets one. To start every stream with a `retry`
    /// field, use [`SseLayer::retry`](crate::SseLayer::retry).
    ///
    /// The time is written in whole milliseconds, rounded down. Above 2³¹−1 milliseconds,
    /// JavaScript clients that wait with `setTimeout` can reconnect at once.
    pub fn retry(mut self, reconnection_time: Duration) -> Self {
        self.rare_fields().retry = Some(reconnection_time);
        self
    }

    /// Sets a comment. Clients ignore it, but [Gemini's npm
    /// client](crate::guide::upstreams#the-request) loses an event that follows a comment. Any text
    /// is safe: each line becomes a comment line.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.rare_fields().comment = Some(text.into());
        self
    }

    /// Sets the `data` field, which page code reads as `event.data`. Any text is safe: each line
    /// becomes a `data` line. The client joins the lines with line feeds, so a CR or CRLF arrives
    /// as an LF. A trailing line break is kept.
    ///
    /// Some libraries strip leading blanks or lose lines ([which ones][table]). For them, encode
    /// text as [JSON](crate::Json), such as the tokens of a language model.
    ///
    /// [table]: https://docs.rs/crate/tower-sse/latest/source/docs/clients.md
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

// Not for every `T: Into<String>`: that would forbid the conversion of other crates' events.
macro_rules! from_text {
    ($($text:ty),+) => {
        $(impl From<$text> for Event {
            fn from(data: $text) -> Self {
                Self::new().data(data)
            }
        })+
    };
}

from_text!(&str, &String, String, Box<str>, Cow<'_, str>, char);

/// An event's id, which a client sends as `Last-Event-ID` when it reconnects.
///
/// An id can't contain a line feed, a carriage return or U+0000, so text received at run time can't
/// forge other fields. Leading and trailing spaces and tabs are lost when the client sends the id
/// back. Only the id `tower-sse:interrupted` is reserved, by [early
/// heads](crate::early_head#late-answers).
///
/// ```
/// use tower_sse::{Event, EventId};
///
/// # fn cursor() -> String { "eu-17".to_owned() }
/// let event = Event::new().id(EventId::try_from(cursor())?);
/// # Ok::<_, tower_sse::event::InvalidField>(())
/// ```
///
/// Passing run-time text without validation is a compile error:
///
/// ```compile_fail,E0277
/// # fn cursor() -> String { "eu-17".to_owned() }
/// let event = tower_sse::Event::new().id(cursor());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Cow<'static, str>);

impl EventId {
    /// Creates an id from text that the caller composed without line breaks or U+0000.
    pub(crate) fn from_one_line(id: String) -> Self {
        debug_assert!(is_one_line(&id), "an id of more than one line");
        Self(Cow::Owned(id))
    }
}

one_line_text!(EventId, "id", "an event's id");

/// A type that [`Event::id`](crate::Event::id) accepts: a literal, an integer or an [`EventId`].
/// The trait is sealed. For run-time text, use [`Event::try_id`](crate::Event::try_id).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an event's id",
    label = "neither a literal, nor an integer, nor an `EventId`",
    note = "text known only at run time must be validated: `event.try_id(text)?` or \
            `EventId::try_from(text)?`"
)]
pub trait IntoEventId {
    #[doc(hidden)]
    fn into_id(self) -> Id;
}

/// An id before it is encoded. A `u64` is encoded without an intermediate string.
#[derive(Clone, Debug)]
pub enum Id {
    Unsigned(u64),
    Text(EventId),
}

impl IntoEventId for &'static str {
    #[track_caller]
    fn into_id(self) -> Id {
        Id::Text(EventId::from_static(self))
    }
}

impl IntoEventId for EventId {
    fn into_id(self) -> Id {
        Id::Text(self)
    }
}

/// Implements [`IntoEventId`] for integers. All integer types are here from the start, because
/// adding one later could make `id(42)` ambiguous in existing code.
macro_rules! integer_ids {
    ($($integer:ty)*) => {$(
        impl IntoEventId for $integer {
            fn into_id(self) -> Id {
                let text = |_| Id::Text(EventId(Cow::Owned(self.to_string())));
                u64::try_from(self).map_or_else(text, Id::Unsigned)
            }
        }
    )*};
}

integer_ids!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

/// An event's name. Your page passes it to `addEventListener`. An empty name means `message`.
///
/// A name can't contain a line feed, a carriage return or U+0000, so text received at run time
/// can't forge other fields.
///
/// ```
/// use tower_sse::{Event, EventName};
///
/// const PRICE: EventName = EventName::from_static("price");
///
/// # fn ticker() -> String { "acme".to_owned() }
/// let ticker = EventName::try_from(ticker())?;
/// let events = [Event::new().event(PRICE), Event::new().event(ticker)];
/// # Ok::<_, tower_sse::event::InvalidField>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Cow<'static, str>);

one_line_text!(EventName, "name", "an event's name");

/// A type that [`Event::event`](crate::Event::event) accepts: a literal or an [`EventName`]. For
/// run-time text, use [`Event::try_event`](crate::Event::try_event).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't name an event",
    label = "neither a literal nor an `EventName`",
    note = "text known only at run time must be validated: `event.try_event(text)?` or \
            `EventName::try_from(text)?`"
)]
pub trait IntoEventName {
    #[doc(hidden)]
    fn into_name(self) -> EventName;
}

impl IntoEventName for &'static str {
    #[track_caller]
    fn into_name(self) -> EventName {
        EventName::from_static(self)
    }
}

impl IntoEventName for EventName {
    fn into_name(self) -> EventName {
        self
    }
}

/// Methods that read or complete an event's fields, for publishers and brokers.
impl Event {
    /// Returns the event with data, so that clients dispatch it. An event that has a name but no
    /// data gets empty data. Returns `None` if the event has neither.
    pub(crate) fn dispatched(mut self) -> Option<Self> {
        if self.data.is_none() {
            self.name.as_ref()?;
            self.data = Some(Cow::Borrowed(""));
        }
        Some(self)
    }

    pub(crate) const fn has_data(&self) -> bool {
        self.data.is_some()
    }

    pub(crate) const fn has_id(&self) -> bool {
        self.id.is_some()
    }

    #[cfg(feature = "hub")]
    pub(crate) fn has_id_other_than(&self, id: &str) -> bool {
        self.has_id() && !matches!(&self.id, Some(Id::Text(own)) if own.as_str() == id)
    }

    /// Returns the fields that a [broker](crate::hub::broker) keeps (feature `hub`). An event that
    /// a hub passes to its broker always has data and never has an id.
    #[cfg(feature = "hub")]
    #[cfg_attr(docsrs, doc(cfg(feature = "hub")))]
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        let rare = self.rare.as_deref();
        Fields {
            data: self.data.as_deref().unwrap_or_default(),
            name: self.name.as_ref().map(EventName::as_str),
            retry: rare.and_then(|rare| rare.retry).map(whole_milliseconds),
            comment: rare.and_then(|rare| rare.comment.as_deref()),
        }
    }
}

/// An event's fields, as [`Event::fields`] returns them for a broker to store.
#[cfg(feature = "hub")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields<'a> {
    /// The data, as the program set it. Can be empty.
    pub data: &'a str,
    /// The name, if the event has one.
    pub name: Option<&'a str>,
    /// The reconnection time in milliseconds, if the event has one.
    pub retry: Option<u64>,
    /// The comment, if the event has one.
    pub comment: Option<&'a str>,
}

/// Returns `duration` in whole milliseconds, at most `u64::MAX`.
pub(crate) fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
