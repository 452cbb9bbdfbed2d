//! Events and their wire format: what goes into a stream, and how it is read again.
//!
//! Nothing here is asynchronous or knows HTTP. The format is that of the [HTML standard, section
//! "Server-sent events"][html].
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html

use std::{borrow::Cow, time::Duration};

mod decode;
mod encode;
mod encoded;
mod field;
mod frame_buf;
mod id;
#[cfg(feature = "json")]
mod json;
mod name;
mod text;

#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::{
    decode::{Decoder, EventTooLarge, Message},
    encode::Encode,
    encoded::Encoded,
    field::InvalidField,
    id::{EventId, IntoEventId},
    name::{EventName, IntoEventName},
    text::IntoText,
};

pub(crate) use self::{
    encode::{sealed::EncodeInto, whole_milliseconds},
    field::check_one_line,
    frame_buf::FrameBuf,
};

use self::id::Id;

/// One event of a stream, before it is encoded.
///
/// The methods are named after the fields of the wire format, and each sets its field anew: the
/// last call wins.
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
/// Text can become an event as it is: `Event::from("text")`, `Event::from(string)`.
///
/// # What a client makes of it
///
/// - An event with [`data`](Self::data), even empty data, is dispatched to page code.
/// - One without data is not dispatched. Whether its [`id`](Self::id) counts depends on the client.
/// - A lone [`comment`](Self::comment) or [`retry`](Self::retry) is written as a line, not as a
///   block with an empty line after it: some clients make an empty message of a block without
///   data.
/// - `Event::new()` alone is written as nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Event {
    data: Option<Cow<'static, str>>,
    name: Option<EventName>,
    id: Option<Id>,
    /// Boxed because it is rare, and an event is moved several times between its making and the
    /// frame.
    rare: Option<Box<RareFields>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RareFields {
    comment: Option<Cow<'static, str>>,
    retry: Option<Duration>,
}

impl Event {
    /// An event without any field.
    pub const fn new() -> Self {
        Self { data: None, name: None, id: None, rare: None }
    }

    /// Sets the `event` field: the name that page code listens to, with
    /// `addEventListener("tick", …)`. Without it, or with an empty one, the event is a `message`.
    ///
    /// `open` and `error` are not good names: `EventSource` calls its own events so, and listeners
    /// could not tell them apart.
    ///
    /// # Panics
    ///
    /// If a literal has a line feed, a carriage return or U+0000. A text known only at run time
    /// must come as an [`EventName`], which cannot have them.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        self.name = Some(name.into_name());
        self
    }

    /// Sets the `id` field: what the client sends as `Last-Event-ID` when it reconnects, until
    /// another event brings another id. An empty id makes it forget.
    ///
    /// To move a client's last event id on without an event for the page, send the id with empty
    /// data under a name that the page does not listen to. Clients disagree on an id without data:
    ///
    /// | | an id without data | an id with empty data |
    /// |---|---|---|
    /// | the HTML standard, Chromium | counts | counts |
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
    /// If a literal has a line feed, a carriage return or U+0000. A text known only at run time
    /// must come as an [`EventId`], which cannot have them.
    #[track_caller]
    pub fn id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_id());
        self
    }

    /// Sets the `retry` field: how long the client waits before it reconnects, from now on. It is
    /// written in whole milliseconds, rounded down. Clients in Node reconnect at once after more
    /// than 2³¹−1 milliseconds, which `setTimeout` cannot count.
    ///
    /// For a reconnection time that every stream starts with, see
    /// [`SseLayer::retry`](crate::SseLayer::retry).
    pub fn retry(mut self, reconnection_time: Duration) -> Self {
        self.rare_fields().retry = Some(reconnection_time);
        self
    }

    /// Sets a comment, which clients ignore. Every line of `text` becomes a comment line.
    ///
    /// A literal is not copied, a `String` is moved, and a `&String` is copied.
    pub fn comment(mut self, text: impl IntoText) -> Self {
        self.rare_fields().comment = Some(text.into_text());
        self
    }

    /// Sets the `data` field: what page code reads as `event.data`. Every line of `text` becomes a
    /// `data` line; the client joins them with line feeds, so a CR or CRLF arrives as LF. A
    /// trailing line break is kept, and empty data is data.
    ///
    /// A literal is not copied, a `String` is moved, and a `&String` is copied.
    pub fn data(mut self, text: impl IntoText) -> Self {
        self.data = Some(text.into_text());
        self
    }

    /// Sets the `data` field to `value` as JSON.
    ///
    /// [`Json`] does the same when the event is sent, without a string for every event.
    ///
    /// # Errors
    ///
    /// If serialising `value` fails.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// let event = Event::new().event("point").json_data(&[3, 4])?;
    /// assert_eq!(event, Event::new().event("point").data("[3,4]"));
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json_data<T: serde::Serialize + ?Sized>(
        self,
        value: &T,
    ) -> Result<Self, serde_json::Error> {
        Ok(self.data(serde_json::to_string(value)?))
    }

    /// The event as clients dispatch it: with empty data if it has only a name. `None` if it has
    /// neither data nor a name, because no client dispatches such an event.
    pub(crate) fn dispatched(mut self) -> Option<Self> {
        if self.data.is_none() {
            self.name.as_ref()?;
            self.data = Some(Cow::Borrowed(""));
        }
        Some(self)
    }

    #[cfg(feature = "hub")]
    pub(crate) const fn has_data(&self) -> bool {
        self.data.is_some()
    }

    #[cfg(feature = "hub")]
    pub(crate) const fn has_id(&self) -> bool {
        self.id.is_some()
    }

    fn rare_fields(&mut self) -> &mut RareFields {
        self.rare.get_or_insert_default()
    }
}

impl From<&'static str> for Event {
    /// An event with this data.
    fn from(data: &'static str) -> Self {
        Self::new().data(data)
    }
}

impl From<Cow<'static, str>> for Event {
    /// An event with this data.
    fn from(data: Cow<'static, str>) -> Self {
        Self::new().data(data)
    }
}

impl From<&String> for Event {
    /// An event with a copy of this data.
    fn from(data: &String) -> Self {
        Self::new().data(data)
    }
}

impl From<String> for Event {
    /// An event with this data.
    fn from(data: String) -> Self {
        Self::new().data(data)
    }
}
