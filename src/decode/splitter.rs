use std::{mem, time::Duration};

use memchr::memchr2;

use super::EventRef;
use super::event_ref::{
    FieldSpans, Line, is_reconnection_time, line_end_len, reconnection_time, without_line_end,
};

/// The bytes that may precede the first line of a stream.
pub(crate) const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Splits an event stream into events and the bytes between them.
///
/// A splitter accepts chunks of any size. Concatenated, its [pieces](Piece) give you the stream
/// back, byte for byte. A [`Decoder`](super::Decoder) returns messages instead.
///
/// ```
/// use tower_sse::decode::{EventSplitter, Piece};
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
/// # Ok::<_, tower_sse::decode::EventTooLarge>(())
/// ```
///
/// An event begins with the first field line that is not a `retry` line, and ends with the next
/// empty line. Comments and `retry` lines in between belong to it. An event needs no `data` line,
/// because some clients dispatch events that have only an id or a name. If a chunk ends with the CR
/// of the empty line, the splitter doesn't wait for an LF.
///
/// The splitter buffers an incomplete event, `retry` line or byte order mark: about
/// [`max_event_size`](Self::max_event_size) bytes at most.
#[derive(Clone, Debug)]
#[must_use]
pub struct EventSplitter {
    max_event_size: usize,
    place: LinePlace,
    spans: FieldSpans,
    /// The incomplete event, `retry` line or byte order mark. Also the piece returned last, if that
    /// piece came in several chunks.
    carried: Vec<u8>,
    /// Whether `carried` has been returned.
    is_returned: bool,
}

/// A part of an event stream, returned by an [`EventSplitter`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Piece<'a> {
    /// An event.
    Event(EventRef<'a>),
    /// Bytes outside of events: empty lines, a `retry` line, or the byte order mark.
    Between(&'a [u8]),
    /// A comment line between events, or a part of one. Only the last part contains the line end.
    Comment(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// Returns the bytes of this part of the stream.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Event(event) => event.raw,
            Self::Between(bytes) | Self::Comment(bytes) => bytes,
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
            Self::Comment(_) => None,
        }
    }
}

type Next<'a> = Result<Option<Piece<'a>>, EventTooLarge>;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum LinePlace {
    /// The first line. A part of a byte order mark may have come.
    Start,
    /// A line between events, or the first line of an event.
    Between,
    /// A line that begins with an `r`: either a `retry` line or the first line of an event.
    RLine,
    Comment,
    Event,
    /// Nothing: an event or `retry` line was too large.
    TooLarge,
}

impl EventSplitter {
    /// Creates a splitter for a new stream. It accepts events of up to 1 MiB.
    pub fn new() -> Self {
        Self {
            max_event_size: 1 << 20,
            place: LinePlace::Start,
            spans: FieldSpans::default(),
            carried: Vec::new(),
            is_returned: false,
        }
    }

    /// Limits the size of an event, or of a `retry` line between events, to `bytes`. The default is
    /// 1 MiB. The size includes line endings and comments, but not the empty line at the end.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the maximum size of an event cannot be zero");
        self.max_event_size = bytes;
        self
    }

    /// Consumes `input` up to the end of the next piece and returns that piece. If there is no
    /// complete piece, consumes all of `input` and returns `None`.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] if an event or `retry` line exceeds the
    /// [limit](Self::max_event_size). Every later call also returns this error.
    #[inline]
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<Piece<'a>>, EventTooLarge> {
        let Some(first) = input.first() else { return self.nothing() };
        if matches!(self.place, LinePlace::Between)
            && self.carried.is_empty()
            && !matches!(first, b'\n' | b'\r' | b':' | b'r')
        {
            return self.next_event(input);
        }
        self.next_slowly(input)
    }

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

    /// Returns what is left when a stream has ended: an event that is not
    /// [terminated](EventRef::is_terminated), or a part of a `retry` line. Returns `None` if
    /// nothing is left. After this call, the splitter can split a new stream.
    pub fn finish(&mut self) -> Option<Piece<'_>> {
        let place = std::mem::replace(&mut self.place, LinePlace::Start);
        if std::mem::replace(&mut self.is_returned, true) || self.carried.is_empty() {
            return None;
        }
        match place {
            LinePlace::RLine if is_retry(&self.carried) => Some(Piece::Between(&self.carried)),
            _ => {
                self.spans.read_last(&self.carried);
                Some(Piece::Event(EventRef { raw: &self.carried, spans: &self.spans }))
            }
        }
    }
}

/// Returns the reconnection time that the first bytes of a stream set in its first block.
pub(crate) fn first_block_retry(mut stream: &[u8]) -> Option<Duration> {
    let (mut splitter, mut time) = (EventSplitter::new(), None);
    while let Ok(Some(piece)) = splitter.next(&mut stream) {
        time = piece.retry().map(reconnection_time).or(time);
        if matches!(piece, Piece::Event(_) | Piece::Between([b'\n' | b'\r', ..])) {
            return time;
        }
    }
    // An incomplete line at the end of these bytes counts too.
    splitter.finish().and_then(|piece| piece.retry().map(reconnection_time)).or(time)
}

impl Default for EventSplitter {
    fn default() -> Self {
        Self::new()
    }
}

/// The capacity up to which an empty buffer is kept for the next event.
const KEPT_CAPACITY: usize = 1024;
/// The capacity up to which an empty buffer is kept while the source is idle. It's smaller than
/// [`KEPT_CAPACITY`], so that idle streams take little memory.
const KEPT_WHILE_IDLE: usize = 256;

/// Returns whether a line, or the beginning of one, is a `retry` field.
fn is_retry(line: &[u8]) -> bool {
    line.strip_prefix(b"retry").is_some_and(|rest| matches!(rest, [] | [b':' | b'\n' | b'\r', ..]))
}

impl EventSplitter {
    #[inline(never)]
    fn next_slowly<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        if mem::take(&mut self.is_returned) {
            self.free(KEPT_CAPACITY);
        }
        let Some(first) = input.first() else { return Ok(None) };
        match self.place {
            LinePlace::Start => self.next_mark(input),
            LinePlace::Between => match first {
                b':' => Ok(Some(self.next_comment(input))),
                b'\n' | b'\r' => {
                    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
                    let len = input.iter().take_while(|byte| is_end(byte)).count();
                    Ok(Some(Piece::Between(take(input, len))))
                }
                b'r' => self.next_r_line(input),
                _ => self.next_event(input),
            },
            LinePlace::Comment => Ok(Some(self.next_comment(input))),
            LinePlace::RLine => self.next_r_line(input),
            LinePlace::Event => self.resume_event(input),
            LinePlace::TooLarge => self.nothing(),
        }
    }

    /// Reads the first bytes of the stream, which may be a byte order mark.
    fn next_mark<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        self.spans = FieldSpans::default();
        while let Some(awaited) = BYTE_ORDER_MARK.get(self.carried.len()) {
            match input.first() {
                None => return Ok(None),
                Some(byte) if byte == awaited => self.carried.extend_from_slice(take(input, 1)),
                Some(_) if self.carried.is_empty() => {
                    self.place = LinePlace::Between;
                    return self.next_slowly(input);
                }
                Some(_) => {
                    self.place = LinePlace::Event;
                    return self.resume_event(input);
                }
            }
        }
        Ok(Some(Piece::Between(self.complete())))
    }

    fn next_comment<'b>(&mut self, input: &mut &'b [u8]) -> Piece<'b> {
        let (len, is_complete) = first_line(input);
        self.place = if is_complete { LinePlace::Between } else { LinePlace::Comment };
        Piece::Comment(take(input, len))
    }

    /// Reads a line between events that begins with an `r`, so that it may be a `retry` field.
    fn next_r_line<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        let (len, is_complete) = first_line(input);
        let part = input.get(..len).unwrap_or_default();
        // The LF of a CRLF doesn't count, because it may come only in the next chunk.
        let lf = usize::from(part.ends_with(b"\r\n"));
        let size = self.carried.len() + len - lf;
        if self.carried.is_empty() && is_complete {
            self.place = LinePlace::Between;
            if !is_retry(part) {
                return self.next_event(input);
            } else if size <= self.max_event_size {
                return Ok(Some(Piece::Between(take(input, len))));
            }
        }
        self.spans = FieldSpans::default();
        if size > self.max_event_size {
            return Err(self.too_large());
        }
        self.place = LinePlace::RLine;
        self.carried.extend_from_slice(take(input, len - lf));
        if !is_complete {
            return Ok(None);
        } else if is_retry(&self.carried) {
            self.carried.extend_from_slice(take(input, lf));
            return Ok(Some(Piece::Between(self.complete())));
        }
        self.place = LinePlace::Event;
        self.spans.read(&self.carried);
        if self.carried.len() + lf > self.max_event_size {
            return Err(self.too_large());
        }
        self.spans.len += lf;
        self.carried.extend_from_slice(take(input, lf));
        self.resume_event(input)
    }

    /// Keeps an event that `input` does not complete.
    #[cold]
    fn carry_event(&mut self, input: &mut &[u8]) -> Result<(), EventTooLarge> {
        if input.len() > self.max_event_size {
            return Err(self.too_large());
        }
        self.place = LinePlace::Event;
        self.carried.extend_from_slice(take(input, input.len()));
        Ok(())
    }

    fn resume_event<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Next<'a> {
        while !input.is_empty() {
            let is_line_start = self.spans.len == self.carried.len();
            let is_lf_of_crlf =
                is_line_start && self.carried.ends_with(b"\r") && input.starts_with(b"\n");
            let is_empty_line = is_line_start && matches!(input, [b'\n' | b'\r', ..]);
            let (len, is_complete) = first_line(input);
            let added = if is_empty_line && !is_lf_of_crlf { 0 } else { len };
            if self.carried.len() + added > self.max_event_size {
                return Err(self.too_large());
            }
            self.spans.len += usize::from(is_lf_of_crlf);
            self.carried.extend_from_slice(take(input, len));
            if is_complete && !is_lf_of_crlf && self.spans.read(&self.carried) {
                self.complete();
                return Ok(Some(Piece::Event(EventRef { raw: &self.carried, spans: &self.spans })));
            }
        }
        Ok(None)
    }

    #[cold]
    fn too_large(&mut self) -> EventTooLarge {
        self.place = LinePlace::TooLarge;
        self.carried = Vec::new();
        EventTooLarge { max_event_size: self.max_event_size }
    }

    /// Returns `None`, or after an event that was too large, the error again.
    fn nothing(&self) -> Next<'static> {
        match self.place {
            LinePlace::TooLarge => Err(EventTooLarge { max_event_size: self.max_event_size }),
            _ => Ok(None),
        }
    }

    fn complete(&mut self) -> &[u8] {
        self.place = LinePlace::Between;
        self.is_returned = true;
        &self.carried
    }
}

/// Returns the length of a chunk's first line, with its line end, and whether the line is complete.
pub(crate) fn first_line(bytes: &[u8]) -> (usize, bool) {
    let Some(at) = memchr2(b'\n', b'\r', bytes) else { return (bytes.len(), false) };
    (at + line_end_len(bytes.get(at..).unwrap_or_default()), true)
}

fn take<'b>(input: &mut &'b [u8], len: usize) -> &'b [u8] {
    input.split_off(..len).unwrap_or_default()
}

impl EventSplitter {
    /// Returns the bytes that have been received of an incomplete event or line.
    pub(crate) fn incomplete(&self) -> &[u8] {
        if self.is_returned { &[] } else { &self.carried }
    }

    pub(crate) const fn is_between_events(&self) -> bool {
        matches!(self.place, LinePlace::Between)
    }

    #[cfg(feature = "runs")]
    pub(crate) const fn memory(&self) -> usize {
        self.carried.capacity()
    }

    /// Returns whether a comment between events has been received only in part.
    pub(crate) const fn is_in_comment(&self) -> bool {
        matches!(self.place, LinePlace::Comment)
    }

    /// Returns the reconnection time from the complete lines of the incomplete event.
    pub(crate) fn incomplete_retry(&self) -> Option<Duration> {
        let is_event = matches!(self.place, LinePlace::Event);
        self.spans.retry.of(self.incomplete()).filter(|_| is_event).map(reconnection_time)
    }

    pub(crate) fn shrink(&mut self) {
        if self.incomplete().is_empty() {
            self.free(KEPT_WHILE_IDLE);
        }
    }

    /// Empties the buffer and frees it if its capacity exceeds `kept`.
    fn free(&mut self, kept: usize) {
        self.is_returned = false;
        if self.carried.capacity() > kept {
            self.carried = Vec::new();
        }
        self.carried.clear();
    }
}

/// The error for an event or `retry` line that is larger than a limit such as
/// [`Decoder::max_event_size`](super::Decoder::max_event_size).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    max_event_size: usize,
}

error_text!(EventTooLarge, |it| "an event is larger than {} bytes", it.max_event_size);

#[cfg(test)]
mod tests {
    use super::{Duration, first_block_retry};

    #[test]
    fn first_block_retry_is_a_whole_number_before_its_end() {
        for (stream, expected) in [
            ("", None),
            ("retry: 5\n\n", Some(5)),
            ("data: x\r\nretry:50", Some(50)),
            ("retry: soon\ndata: x\n\n", None),
            ("retry\nretry:\nretry: -1\n\n", None),
            ("data: x\n\nretry: 5\n\n", None),
            ("\u{feff}: note\r\nretry: 5\n", Some(5)),
            (": note\n\nretry: 5\n", None),
            ("data: x\nretry: 5\nretry: soon\n\n", Some(5)),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(first_block_retry(stream.as_bytes()), expected, "{stream:?}");
        }
    }
}
