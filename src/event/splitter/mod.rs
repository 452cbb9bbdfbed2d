use super::{
    EventRef, EventTooLarge,
    field_spans::FieldSpans,
    line::{Line, is_reconnection_time, without_line_end},
};

mod carried;
mod oversized;

use self::oversized::Oversized;

/// A splitter of the bytes of an event stream into events and what stands between them.
///
/// It reads bytes in chunks of any size, and nothing is lost: the [pieces](Piece) together are the
/// stream, byte for byte. A [`Decoder`](crate::Decoder) returns messages instead.
///
/// ```
/// use tower_sse::{EventSplitter, Piece};
///
/// let mut splitter = EventSplitter::new();
/// let mut data = Vec::new();
/// for mut chunk in [&b":\ndata: o"[..], b"ne\n\ndata: two\n\n"] {
///     while let Some(piece) = splitter.next(&mut chunk)? {
///         if let Piece::Event(event) = piece {
///             data.push(event.data().into_owned());
///         }
///     }
/// }
/// assert_eq!(data, ["one", "two"]);
/// # Ok::<_, tower_sse::EventTooLarge>(())
/// ```
///
/// # Events
///
/// An event begins with its first field line other than `retry`, and ends with the empty line. It
/// is complete when the last byte of that line has come, even if it is a CR that an LF can follow.
/// Comments and `retry` lines within it belong to it. A block without data is an event too,
/// because some clients dispatch it.
///
/// # Memory
///
/// The splitter keeps only an incomplete event, of at most [`max_event_size`](Self::max_event_size)
/// bytes. An event that comes in one chunk is not copied.
#[derive(Clone, Debug)]
pub struct EventSplitter {
    max_event_size: usize,
    place: Place,
    /// The fields of the current event.
    spans: FieldSpans,
    /// The incomplete event or `retry` line, or the last piece, if it came in several chunks.
    carried: Vec<u8>,
    /// `carried` has been returned.
    is_returned: bool,
}

/// A part of an event stream, as an [`EventSplitter`] returns it.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// An event.
    Event(EventRef<'a>),
    /// Empty lines or a `retry` line between events, or the byte order mark.
    Between(&'a [u8]),
    /// A part of a comment line between events. The last part ends in the line end.
    Comment(&'a [u8]),
    /// A part of an event that is [too large](EventSplitter::max_event_size). It is returned only if
    /// the program goes on after the error.
    Oversized(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// Returns the bytes of this part of the stream.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Event(event) => event.raw,
            Self::Between(bytes) | Self::Comment(bytes) | Self::Oversized(bytes) => bytes,
        }
    }

    /// Returns the digits of the reconnection time that this part sets.
    #[inline]
    pub(crate) fn retry(&self) -> Option<&'a [u8]> {
        match self {
            Self::Event(event) => event.spans.retry.of(event.raw),
            Self::Between(lines) => match Line::parse(without_line_end(lines)) {
                Line::Field { name: b"retry", value } if is_reconnection_time(value) => Some(value),
                _ => None,
            },
            Self::Comment(_) | Self::Oversized(_) => None,
        }
    }
}

type Next<'a> = Result<Option<Piece<'a>>, EventTooLarge>;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The first line. A part of a byte order mark may have come.
    Start,
    /// A line between events, or the first one of an event.
    Between,
    /// A line between events that begins with an `r`.
    RLine,
    Comment,
    Event,
    Oversized(Oversized),
}

impl EventSplitter {
    /// Creates a splitter for a new stream, with events of up to 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_event_size: 1 << 20,
            place: Place::Start,
            spans: FieldSpans::default(),
            carried: Vec::new(),
            is_returned: false,
        }
    }

    /// Limits the size of an event to `bytes`: the bytes of its lines on the wire, with line ends and
    /// comments, but without the empty line. The default is 1 MiB. The limit is also that of a
    /// `retry` line between events.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[must_use]
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the maximum size of an event cannot be zero");
        self.max_event_size = bytes;
        self
    }

    /// Consumes `input` up to the end of the next piece and returns that piece. Consumes all of
    /// `input` and returns `None` if it completes no piece.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] once for each event that exceeds the
    /// [limit](Self::max_event_size). If the program goes on, the event comes in parts, as
    /// [`Piece::Oversized`].
    #[inline]
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<Piece<'a>>, EventTooLarge> {
        let Some(first) = input.first() else { return Ok(None) };
        if matches!(self.place, Place::Between)
            && self.carried.is_empty()
            && !matches!(first, b'\n' | b'\r' | b':' | b'r')
        {
            return self.next_event(input);
        }
        self.next_slowly(input)
    }

    /// Returns the event at the start of `input`, if it is complete.
    #[inline]
    fn next_event<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        self.spans = FieldSpans::default();
        if self.spans.read(input)
            && self.spans.empty_line <= self.max_event_size
            && let Some((raw, rest)) = input.split_at_checked(self.spans.len)
        {
            *input = rest;
            return Ok(Some(Piece::Event(EventRef { raw, spans: &self.spans })));
        }
        self.carry_event(input).map(|()| None)
    }

    /// Returns the rest of the stream, which has ended: an event that is not
    /// [terminated](EventRef::is_terminated), the beginning of a `retry` line, or the last part of
    /// an oversized event. The splitter then splits a new stream.
    pub fn finish(&mut self) -> Option<Piece<'_>> {
        let place = std::mem::replace(&mut self.place, Place::Start);
        if std::mem::replace(&mut self.is_returned, true) || self.carried.is_empty() {
            return None;
        }
        match place {
            Place::Oversized(_) => Some(Piece::Oversized(&self.carried)),
            Place::RLine if carried::is_retry(&self.carried) => Some(Piece::Between(&self.carried)),
            _ => {
                self.spans.read_last(&self.carried);
                Some(Piece::Event(EventRef { raw: &self.carried, spans: &self.spans }))
            }
        }
    }
}

/// Returns whether the first bytes of a stream show a `retry` field in its first block.
pub(crate) fn first_block_has_retry(mut stream: &[u8]) -> bool {
    let mut splitter = EventSplitter::new();
    while let Ok(Some(piece)) = splitter.next(&mut stream) {
        if piece.retry().is_some() {
            return true;
        } else if matches!(piece, Piece::Event(_) | Piece::Between([b'\n' | b'\r', ..])) {
            return false;
        }
    }
    // The line that the stream breaks off in counts too.
    splitter.finish().is_some_and(|piece| piece.retry().is_some())
}

impl Default for EventSplitter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::first_block_has_retry;

    #[test]
    fn first_block_has_retry_only_with_a_whole_number_before_its_end() {
        for (stream, expected) in [
            ("", false),
            ("retry: 5\n\n", true),
            ("data: x\r\nretry:50", true),
            ("retry: soon\ndata: x\n\n", false),
            ("retry\nretry:\nretry: -1\n\n", false),
            ("data: x\n\nretry: 5\n\n", false),
            ("\u{feff}: note\r\nretry: 5\n", true),
            (": note\n\nretry: 5\n", false),
            ("data: x\nretry: 5\nretry: soon\n\n", true),
        ] {
            assert_eq!(first_block_has_retry(stream.as_bytes()), expected, "{stream:?}");
        }
    }
}
