use std::io;

use serde::Serialize;

use super::{
    Encode, EventName, FrameBuf, IntoEventId, IntoEventName, encode::Lines, frame_buf::DATA, id::Id,
};

/// An event whose data is a value as JSON, serialised straight into the frame.
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
/// A value that does not serialise is an error of the stream: nothing of it is sent, what was
/// ready before it is. See [`SseLayer::on_error`](crate::SseLayer::on_error).
#[derive(Clone, Debug)]
#[must_use]
pub struct Json<T> {
    value: T,
    name: Option<EventName>,
    id: Option<Id>,
}

impl<T: Serialize> Json<T> {
    /// An event with `value` as its data.
    pub const fn new(value: T) -> Self {
        Self { value, name: None, id: None }
    }

    /// Sets the `event` field, as [`Event::event`](crate::Event::event) does.
    ///
    /// # Panics
    ///
    /// If a literal has a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName) -> Self {
        self.name = Some(name.into_name());
        self
    }

    /// Sets the `id` field, as [`Event::id`](crate::Event::id) does.
    ///
    /// # Panics
    ///
    /// If a literal has a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn id(mut self, id: impl IntoEventId) -> Self {
        self.id = Some(id.into_id());
        self
    }
}

impl<T: Serialize> Encode for Json<T> {
    type Error = serde_json::Error;

    fn encode(self, frame: &mut FrameBuf) -> Result<(), serde_json::Error> {
        let mut lines = Lines::new(frame);
        lines.head(self.name.as_ref(), self.id.as_ref());
        let frame = lines.open(DATA);
        let start = frame.len();
        serde_json::to_writer(FrameWriter(frame), &self.value)?;
        // Raw fragments (`RawValue`) are written as they are, line breaks included.
        frame.resplit_lines(start, DATA);
        lines.end(true);
        Ok(())
    }
}

/// serde_json makes many tiny writes: this one is nothing but the copy.
struct FrameWriter<'frame>(&'frame mut FrameBuf);

impl io::Write for FrameWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.put(bytes);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
