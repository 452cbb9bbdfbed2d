use std::convert::Infallible;

use bytes::Bytes;

use super::event::{Id, RareFields};
use super::frame_buf::{COMMENT, DATA, EVENT, Field, ID, RETRY};
use super::{Event, FrameBuf, whole_milliseconds};
use crate::BoxError;

/// An item of a stream of events.
///
/// The trait is sealed. Its implementations are:
///
/// | type | use |
/// |---|---|
/// | [`Event`] | a single event |
/// | [`Encoded`] | events that are encoded once and sent to many clients |
/// | [`Json<T>`](crate::Json) (feature `json`) | a value that is serialised when it is sent |
/// | `Result<T, E>` of one of these | streams that can fail; see [`SseLayer::on_error`](crate::SseLayer::on_error) for the effect of an `Err` |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "can't be written into an event stream",
    note = "make a stream of `tower_sse::Event`, `Encoded`, `Json<T>`, or a `Result` of one of \
            them",
    note = "text becomes an event by `stream.map(Event::from)`, a value by `stream.map(Json::new)`",
    note = "axum's own `Event` belongs in `axum::response::Sse`, which `SseLayer` accepts unchanged"
)]
pub trait Encode {
    /// The error of an item that is an `Err` or fails to serialise.
    type Error: Into<BoxError>;

    /// Appends the item to `frame`. After an error, the frame may contain a part of the item, which
    /// the caller removes.
    // Other crates can't name the type of `frame`, so they can't implement the trait.
    #[doc(hidden)]
    fn encode(self, frame: &mut FrameBuf) -> Result<(), Self::Error>;
}

impl<T: Encode, E: Into<BoxError>> Encode for Result<T, E> {
    type Error = BoxError;

    #[inline]
    fn encode(self, frame: &mut FrameBuf) -> Result<(), BoxError> {
        match self {
            Ok(item) => item.encode(frame).map_err(Into::into),
            Err(error) => Err(error.into()),
        }
    }
}

impl Encode for Event {
    type Error = Infallible;

    // Inlined, because a call would write the event to memory first.
    #[inline(always)]
    fn encode(self, frame: &mut FrameBuf) -> Result<(), Infallible> {
        match self {
            Self { data: Some(data), name: None, id: None, rare: None } => {
                if frame.spare() < data.len() + 8 {
                    frame.reserve(DATA.len_of(data.as_bytes()) + 1);
                }
                frame.open(DATA);
                frame.put_lines(DATA, data.as_bytes());
                frame.put(b"\n\n");
            }
            event => event.encode_fields(frame),
        }
        Ok(())
    }
}

impl Event {
    // Inlining this would slow down events that have only data.
    #[inline(never)]
    fn encode_fields(&self, frame: &mut FrameBuf) {
        self.encode_with(self.data_bytes(), frame);
    }

    /// Encodes the event with `data` in place of the event's data.
    #[inline]
    pub(super) fn encode_with(&self, data: Option<&[u8]>, frame: &mut FrameBuf) {
        if frame.spare() < ROOM_FOR_FIELDS + data.map_or(0, <[u8]>::len) {
            frame.reserve(self.len_with(data));
        }
        let is_block = data.is_some() || self.name.is_some() || self.id.is_some();
        let mut lines = Lines::new(frame);
        lines.fields(self, data);
        lines.end(is_block);
    }

    fn data_bytes(&self) -> Option<&[u8]> {
        self.data.as_ref().map(|data| data.as_bytes())
    }

    pub(super) fn encoded(&self) -> Bytes {
        let mut frame = FrameBuf::new();
        self.encode_fields(&mut frame);
        frame.take()
    }

    /// Returns the length of the event's block, or a little more, so encoding takes one allocation.
    fn len_with(&self, data: Option<&[u8]>) -> usize {
        let mut len = 1 + data.map_or(0, |data| DATA.len_of(data));
        if let Some(name) = &self.name {
            len += EVENT.len_of(name.as_str().as_bytes());
        }
        if let Some(id) = &self.id {
            len += match id {
                Id::Unsigned(id) => ID.len_of(b"") + decimal_len(*id),
                Id::Text(id) => ID.len_of(id.as_str().as_bytes()),
            };
        }
        if let Some(RareFields { comment, retry }) = self.rare.as_deref() {
            len += comment.as_ref().map_or(0, |text| COMMENT.len_of(text.as_bytes()));
            len +=
                retry.map_or(0, |retry| RETRY.len_of(b"") + decimal_len(whole_milliseconds(retry)));
        }
        len
    }

    /// Encodes the event without the end of its block. Reserves room for the line of an id that is
    /// a prefix of `prefix_len` bytes and a number.
    pub(crate) fn encode_open(&self, prefix_len: usize) -> OpenBlock {
        let mut frame = FrameBuf::new();
        let data = self.data_bytes();
        frame.reserve(self.len_with(data) + ID.len_of(b"") + prefix_len + decimal_len(u64::MAX));
        let mut lines = Lines::new(&mut frame);
        lines.fields(self, data);
        let is_open = lines.is_open;
        OpenBlock { frame, is_open }
    }
}

pub(crate) struct OpenBlock {
    frame: FrameBuf,
    is_open: bool,
}

impl OpenBlock {
    pub(crate) fn end_with_id(&mut self, prefix: &str, sequence: u64) -> Bytes {
        let mut lines = Lines { frame: &mut self.frame, is_open: self.is_open };
        let frame = lines.open(ID);
        frame.put(prefix.as_bytes());
        frame.put(itoa::Buffer::new().format(sequence).as_bytes());
        lines.end(true);
        self.frame.take()
    }
}

/// If a buffer has this many spare bytes besides the data, the length of the block is not computed.
const ROOM_FOR_FIELDS: usize = 256;

pub(crate) fn decimal_len(integer: u64) -> usize {
    integer.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A writer of one event's lines. Opening a line ends the previous one.
struct Lines<'frame> {
    frame: &'frame mut FrameBuf,
    is_open: bool,
}

impl<'frame> Lines<'frame> {
    #[inline]
    fn new(frame: &'frame mut FrameBuf) -> Self {
        Self { frame, is_open: false }
    }

    // Inlined, so that the copied field name has a constant length.
    #[inline(always)]
    fn open(&mut self, field: Field) -> &mut FrameBuf {
        if self.is_open {
            self.frame.open_next(field);
        } else {
            self.frame.open(field);
            self.is_open = true;
        }
        self.frame
    }

    /// Writes the fields of an event, with `data` in place of the event's data.
    // Without `always`, a change of unrelated code can end the inlining.
    #[inline(always)]
    fn fields(&mut self, event: &Event, data: Option<&[u8]>) {
        if let Some(rare) = &event.rare {
            self.rare(rare);
        }
        if let Some(name) = &event.name {
            self.open(EVENT).put(name.as_str().as_bytes());
        }
        if let Some(data) = data {
            self.open(DATA).put_lines(DATA, data);
        }
        // The id comes last, because some clients store the id of an event that was cut short.
        if let Some(id) = &event.id {
            let frame = self.open(ID);
            match id {
                Id::Unsigned(id) => frame.put(itoa::Buffer::new().format(*id).as_bytes()),
                Id::Text(id) => frame.put(id.as_str().as_bytes()),
            }
        }
    }

    fn rare(&mut self, RareFields { comment, retry }: &RareFields) {
        if let Some(text) = comment {
            self.open(COMMENT).put_lines(COMMENT, text.as_bytes());
        }
        if let Some(reconnection_time) = retry {
            let milliseconds = whole_milliseconds(*reconnection_time);
            self.open(RETRY).put(itoa::Buffer::new().format(milliseconds).as_bytes());
        }
    }

    /// Ends the last line and, if the event `is_block`, ends the block with an empty line.
    #[inline]
    fn end(self, is_block: bool) {
        match (self.is_open, is_block) {
            (_, true) => self.frame.put(b"\n\n"),
            (true, false) => self.frame.put(b"\n"),
            (false, false) => {}
        }
    }
}

/// Zero or more events in their wire format. Encode an event once and send it to many clients: a
/// clone shares the bytes.
///
/// ```
/// use tokio::sync::broadcast;
/// use tower_sse::{Event, event::Encoded};
///
/// let (events, _) = broadcast::channel::<Encoded>(64);
/// let mut one = events.subscribe();
/// let mut other = events.subscribe();
///
/// events.send(Event::new().event("news").data("once").into()).unwrap();
///
/// assert_eq!(one.try_recv().unwrap().as_bytes(), b"event: news\ndata: once\n\n");
/// assert_eq!(other.try_recv().unwrap().as_bytes(), b"event: news\ndata: once\n\n");
/// ```
///
/// Collect an iterator of events into one `Encoded` to send the events together:
///
/// ```
/// # use tower_sse::{Event, event::Encoded};
/// let history: Encoded = (1..=2).map(|n| Event::new().id(n).data("…")).collect();
/// assert_eq!(history.as_bytes(), "data: …\nid: 1\n\ndata: …\nid: 2\n\n".as_bytes());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes one item of an event stream. For an [`Event`], use `Encoded::from`: it can't fail.
    ///
    /// # Errors
    ///
    /// Returns an error if the item is an `Err` or fails to serialise.
    pub fn try_new<T: Encode>(item: T) -> Result<Self, T::Error> {
        let mut frame = FrameBuf::new();
        item.encode(&mut frame)?;
        Ok(Self(frame.take_uncopied().unwrap_or_else(|| frame.take())))
    }

    /// Returns the bytes in the wire format.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Event> for Encoded {
    fn from(event: Event) -> Self {
        let Ok(encoded) = Self::try_new(event);
        encoded
    }
}

impl From<Encoded> for Bytes {
    fn from(encoded: Encoded) -> Self {
        encoded.0
    }
}

impl Encoded {
    pub(crate) const fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T: Encode<Error = Infallible>> FromIterator<T> for Encoded {
    fn from_iter<I: IntoIterator<Item = T>>(events: I) -> Self {
        let mut frame = FrameBuf::new();
        for event in events {
            let Ok(()) = event.encode(&mut frame);
            frame.copy_first(0);
        }
        Self(frame.take())
    }
}

impl Encode for Encoded {
    type Error = Infallible;

    #[inline]
    fn encode(self, frame: &mut FrameBuf) -> Result<(), Infallible> {
        frame.put_encoded(self.0);
        Ok(())
    }
}
