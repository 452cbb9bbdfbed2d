use std::cell::Cell;

use serde::Serialize;

use super::{
    Encode, Event, EventId, EventName, FrameBuf, IntoEventId, IntoEventName, InvalidField,
    encode::encode_json, id::Id,
};
use crate::sealed::Sealed;

/// An event whose data is a value as JSON, serialised when the event is sent.
///
/// ```
/// use serde::Serialize;
/// use tower_sse::{Encoded, Json};
///
/// #[derive(Serialize)]
/// struct Point { x: i32, y: i32 }
///
/// let event = Json::new(Point { x: 3, y: 4 }).event("point").id(7);
/// assert_eq!(
///     Encoded::try_new(event)?.as_bytes(),
///     b"event: point\nid: 7\ndata: {\"x\":3,\"y\":4}\n\n",
/// );
/// # Ok::<_, serde_json::Error>(())
/// ```
///
/// Each thread keeps a serialisation buffer of up to 64 KiB.
///
/// If the value fails to serialise, the stream fails after the events before it. No part of the
/// value is sent. See [`SseLayer::on_error`](crate::SseLayer::on_error).
#[derive(Clone, Debug)]
#[must_use]
pub struct Json<T> {
    value: T,
    name: Option<EventName>,
    id: Option<Id>,
}

impl<T: Serialize> Json<T> {
    /// Creates an event with `value` as its data.
    pub const fn new(value: T) -> Self {
        Self { value, name: None, id: None }
    }

    /// Sets the `event` field, as [`Event::event`](crate::Event::event) does.
    ///
    /// # Panics
    ///
    /// Panics if a literal contains a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        self.name = Some(name.into_name());
        self
    }

    /// Sets the `event` field to text that is known only at run time, as
    /// [`Event::try_event`](crate::Event::try_event) does.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` contains a line feed, a carriage return or U+0000.
    pub fn try_event(mut self, name: impl Into<String>) -> Result<Self, InvalidField> {
        self.name = Some(EventName::try_from(name.into())?);
        Ok(self)
    }

    /// Sets the `id` field, as [`Event::id`](crate::Event::id) does.
    ///
    /// # Panics
    ///
    /// Panics if a literal contains a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_id());
        self
    }

    /// Sets the `id` field to text that is known only at run time, as
    /// [`Event::try_id`](crate::Event::try_id) does.
    ///
    /// # Errors
    ///
    /// Returns an error if `id` contains a line feed, a carriage return or U+0000.
    pub fn try_id(mut self, id: impl Into<String>) -> Result<Self, InvalidField> {
        self.id = Some(Id::Text(EventId::try_from(id.into())?));
        Ok(self)
    }
}

impl<T: Serialize> TryFrom<Json<T>> for Event {
    type Error = serde_json::Error;

    /// Serialises the value immediately, for code that needs an [`Event`], such as
    /// [`Hub::publish`](crate::hub::Hub::publish).
    fn try_from(json: Json<T>) -> Result<Self, serde_json::Error> {
        let Json { value, name, id } = json;
        let mut event = Self::new().json_data(&value)?;
        event.name = name;
        event.id = id;
        Ok(event)
    }
}

impl<T: Serialize> Sealed for Json<T> {}

impl<T: Serialize> Encode for Json<T> {
    type Error = serde_json::Error;

    fn encode(self, frame: &mut FrameBuf) -> Result<(), serde_json::Error> {
        let mut json = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let serialized = serde_json::to_writer(&mut json, &self.value);
        if serialized.is_ok() {
            encode_json(frame, self.name.as_ref(), self.id.as_ref(), &json);
        }
        if json.capacity() <= SCRATCH_KEPT {
            json.clear();
            let _ = SCRATCH.try_with(|scratch| scratch.set(json));
        }
        serialized
    }
}

thread_local! {
    /// The buffer for a value before it is copied into a frame. serde_json writes to a `Vec` so
    /// much faster that the copy pays off, and the size of the frame is then known.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The capacity up to which a thread keeps its buffer, in bytes.
const SCRATCH_KEPT: usize = 64 * 1024;
