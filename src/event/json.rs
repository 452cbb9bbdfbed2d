use std::cell::Cell;

use memchr::memchr2_iter;
use serde::Serialize;

use super::one_line::escape_json;
use super::{Encode, Event, FrameBuf};

/// An event whose data is a Rust value, serialised as JSON when the event is sent.
///
/// To set other fields too, such as a name, add the value to an [`Event`] with [`Event::json`]:
///
/// ```
/// use serde::Serialize;
/// use tower_sse::{Event, event::Encoded};
///
/// #[derive(Serialize)]
/// struct Point { x: i32, y: i32 }
///
/// let event = Event::new().event("point").id(7).json(Point { x: 3, y: 4 });
/// assert_eq!(
///     Encoded::try_new(event)?.as_bytes(),
///     b"event: point\ndata: {\"x\":3,\"y\":4}\nid: 7\n\n",
/// );
/// # Ok::<_, serde_json::Error>(())
/// ```
///
/// U+0085, U+2028 and U+2029 are escaped, because some clients would end a line there.
///
/// A value that fails to serialise is handled like an `Err` in the stream: see
/// [`SseLayer::on_error`](crate::SseLayer::on_error). No part of the value is sent.
#[derive(Clone, Debug)]
#[must_use]
pub struct Json<T> {
    value: T,
    /// The fields besides the data.
    event: Event,
}

impl<T: Serialize> Json<T> {
    /// Creates an event with `value` as its data and no other field.
    pub const fn new(value: T) -> Self {
        Self { value, event: Event::new() }
    }
}

impl Event {
    /// Sets the `data` field to `value`, serialised as JSON when the event is sent.
    /// [`json_data`](Self::json_data) serialises it immediately.
    pub const fn json<T: Serialize>(self, value: T) -> Json<T> {
        Json { value, event: self }
    }

    /// Sets the `data` field to `value`, serialised as JSON. This allocates a string, unlike
    /// [`json`](Self::json).
    ///
    /// # Errors
    ///
    /// Returns an error if `value` fails to serialise.
    pub fn json_data<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::to_string(value)?;
        if !is_ascii(json.as_bytes()) {
            json = escaped(json.as_bytes()).unwrap_or(json);
        }
        Ok(self.data(json))
    }
}

impl<T: Serialize> TryFrom<Json<T>> for Event {
    type Error = serde_json::Error;

    /// Serialises the value immediately, for code that needs an [`Event`], such as
    /// [`Hub::publish`](crate::hub::Hub::publish).
    fn try_from(json: Json<T>) -> Result<Self, serde_json::Error> {
        json.event.json_data(&json.value)
    }
}

impl<T: Serialize> Encode for Json<T> {
    type Error = serde_json::Error;

    fn encode(self, frame: &mut FrameBuf) -> Result<(), serde_json::Error> {
        let mut json = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let serialized = serde_json::to_writer(&mut json, &self.value);
        if serialized.is_ok() {
            if !is_ascii(&json) {
                json = escaped(&json).map_or(json, String::into_bytes);
            }
            self.event.encode_with(Some(&json), frame);
        }
        if json.capacity() <= SCRATCH_KEPT {
            json.clear();
            let _ = SCRATCH.try_with(|scratch| scratch.set(json));
        }
        serialized
    }
}

// Not inlined, because that would slow down the serialiser around the call.
#[inline(never)]
fn is_ascii(json: &[u8]) -> bool {
    let Some(last) = json.last_chunk::<64>() else { return json.is_ascii() };
    let (chunks, _) = json.as_chunks::<64>();
    chunks.iter().all(|chunk| chunk.is_ascii()) && last.is_ascii()
}

/// Returns JSON with raw U+0085, U+2028 and U+2029 as escapes, or `None` if it has none. Clients
/// that use Python's `splitlines` end a line at each of them.
#[cold]
fn escaped(json: &[u8]) -> Option<String> {
    memchr2_iter(0xc2, 0xe2, json).find(|at| {
        matches!(json.get(*at..), Some([0xc2, 0x85, ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..]))
    })?;
    let text = str::from_utf8(json).ok()?;
    Some(escape_json(text, |it| matches!(it, '\u{85}' | '\u{2028}' | '\u{2029}')))
}

thread_local! {
    /// The buffer for a value before it is copied into a frame of known size. serde_json is faster
    /// when it writes to a `Vec`, even with the copy.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The capacity up to which a thread keeps its buffer, in bytes.
const SCRATCH_KEPT: usize = 64 * 1024;
