use std::{borrow::Cow, fmt, str, time::Duration};

use bytes::Bytes;
use memchr::memchr2;

use crate::event::{DATA, Encoded, FrameBuf};

/// The name of an event without an `event` field.
pub(super) const NO_NAME: &str = "message";

/// An event of a stream, borrowed from the received bytes, or from a buffer if it arrived in
/// several chunks.
///
/// A [filter](crate::filter) gets an `EventRef`. Unlike a [`Message`](super::Message), it has all
/// lines of the event, byte for byte. It can also be an event without data, which browsers don't
/// dispatch. Methods that return text, such as [`data`](Self::data), replace bytes that aren't
/// UTF-8 with U+FFFD.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    pub(super) raw: &'a [u8],
    pub(super) spans: &'a FieldSpans,
}

impl<'a> EventRef<'a> {
    /// Returns the event's bytes, including the empty line that ends it. If the CRLF of this
    /// line is split across two chunks, the bytes end with the CR. [`to_encoded`](Self::to_encoded)
    /// and [`with_data`](Self::with_data) add the missing LF.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Returns the event's name: `message` if the event has no `event` field or an empty one.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        self.field_name().unwrap_or(Cow::Borrowed(NO_NAME))
    }

    /// Returns the value of the `event` field, unless it is empty.
    pub(super) fn field_name(&self) -> Option<Cow<'a, str>> {
        self.spans.name.of(self.raw).filter(|name| !name.is_empty()).map(text)
    }

    /// Returns the data, with its lines joined by line feeds. It is empty if the event has no data.
    #[must_use]
    #[inline]
    pub fn data(&self) -> Cow<'a, str> {
        match self.data_bytes() {
            Cow::Borrowed(data) => text(data),
            Cow::Owned(data) => text(&data).into_owned().into(),
        }
    }

    /// Returns the bytes of the [data](Self::data). Single-line data isn't copied.
    #[must_use]
    #[inline]
    pub fn data_bytes(&self) -> Cow<'a, [u8]> {
        if self.spans.has_more_data {
            return Cow::Owned(self.joined_data());
        }
        Cow::Borrowed(self.spans.data.of(self.raw).unwrap_or_default())
    }

    fn joined_data(&self) -> Vec<u8> {
        let data = self.fields().filter_map(|(name, value)| (name == b"data").then_some(value));
        data.collect::<Vec<_>>().join(&b'\n')
    }

    /// Returns whether the event has a `data` field, even an empty one. Without this field,
    /// browsers don't dispatch the event.
    #[must_use]
    #[inline]
    pub fn has_data(&self) -> bool {
        self.spans.data.of(self.raw).is_some()
    }

    /// Returns the value of the `id` field, which can be empty. Browsers ignore a value that
    /// contains U+0000, as does this method.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.spans.id.of(self.raw).map(text)
    }

    /// Returns the reconnection time that the event sets, at most `u64::MAX` milliseconds. A
    /// `retry` line before the event's other fields isn't part of the event: it's a
    /// [`Piece::Between`](super::Piece::Between).
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.spans.retry.of(self.raw).map(reconnection_time)
    }

    /// Returns the name and value of each line in order, without the empty line at the end. For a
    /// comment, the name is empty, and the value is its text.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines().map(|(line, _)| match Line::parse(line) {
            Line::Field { name, value } => (name, value),
            Line::Comment(value) => (&[][..], value),
            Line::Empty => (&[][..], &[][..]),
        })
    }

    /// Returns whether the event is complete. It's incomplete if the stream ended before the
    /// event's empty line.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        self.spans.empty_line > 0
    }

    /// Copies the event into an `Encoded`, which you can send. If a CRLF was [split](Self::raw),
    /// adds its missing LF. If the event isn't [terminated](Self::is_terminated), ends its last
    /// line and adds the empty line.
    #[must_use]
    pub fn to_encoded(&self) -> Encoded {
        if !self.is_terminated() {
            return self.rewritten(None);
        } else if self.raw.ends_with(b"\r") {
            return Encoded::of([self.raw, self.missing_line_feed()].concat().into());
        }
        Encoded::of(Bytes::copy_from_slice(self.raw))
    }

    /// Copies the event with `data` in place of its own data. Any text is safe. All other lines
    /// keep their bytes and their order. Missing line ends are added, as in
    /// [`to_encoded`](Self::to_encoded).
    ///
    /// The new `data` lines take the place of the first old one. If the event has no `data` line,
    /// the new lines follow its last line. They use the line end (LF, CR or CRLF) of the line that
    /// they replace or follow.
    ///
    /// ```
    /// # #[cfg(feature = "filter")] {
    /// use tower_sse::filter::{self, Verdict};
    ///
    /// // An id, a comment and unknown fields stay.
    /// let redact = filter::from_fn(|event| Verdict::Replace(event.with_data("***")));
    /// # _ = tower_sse::filter::FilterBody::new(String::new(), redact);
    /// # }
    /// ```
    #[must_use]
    pub fn with_data(&self, data: impl AsRef<str>) -> Encoded {
        let data = data.as_ref().as_bytes();
        let Some((before, after)) = self.around_data() else { return self.rewritten(Some(data)) };
        let mut frame = FrameBuf::new();
        // `len_of` counts an LF that `after` has too. An exact capacity saves an allocation.
        frame.reserve(before.len() + DATA.len_of(data) + after.len().saturating_sub(1));
        if !before.is_empty() {
            frame.put(before);
        }
        put_data(&mut frame, data, after);
        frame.put(after);
        if after.ends_with(b"\r") {
            frame.put(self.missing_line_feed());
        }
        Encoded::of(frame.take())
    }

    /// Returns the bytes before the only `data` line and the bytes after its value. Returns `None`
    /// if the event is incomplete or doesn't have exactly one `data:` line. Most events have
    /// exactly one.
    fn around_data(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.spans.has_more_data || !self.is_terminated() {
            return None;
        }
        let (before, value) = self.raw.split_at_checked(self.spans.data.start)?;
        let before = before.strip_suffix(b" ").unwrap_or(before).strip_suffix(b"data:")?;
        Some((before, value.get(self.spans.data.end - self.spans.data.start..)?))
    }

    /// Returns the LF of the empty line, if this LF is missing. If the previous line ends in CR
    /// alone, so does the empty line.
    fn missing_line_feed(&self) -> &'static [u8] {
        match self.raw.split_at_checked(self.spans.empty_line) {
            Some(([.., b'\n'], b"\r")) => b"\n",
            _ => b"",
        }
    }

    /// Writes the complete event, with `data`, if any, in place of its own data.
    fn rewritten(&self, mut data: Option<&[u8]>) -> Encoded {
        let mut frame = FrameBuf::new();
        frame.reserve(self.raw.len() + data.map_or(0, |data| DATA.len_of(data)) + 4);
        let is_replaced = data.is_some();
        let (mut line_end, mut written_end) = (&b"\n"[..], &b""[..]);
        for (line, whole) in self.lines() {
            // The last line may have no line end.
            line_end = whole.get(line.len()..).filter(|end| !end.is_empty()).unwrap_or(line_end);
            if !is_replaced || !matches!(Line::parse(line), Line::Field { name: b"data", .. }) {
                frame.put(line);
            } else if let Some(data) = data.take() {
                put_data(&mut frame, data, line_end);
            } else {
                continue;
            }
            frame.put(line_end);
            written_end = line_end;
        }
        if let Some(data) = data {
            put_data(&mut frame, data, line_end);
            frame.put(line_end);
            written_end = line_end;
        }
        let empty_line = self.raw.get(self.spans.empty_line..).filter(|_| self.is_terminated());
        let empty_line = empty_line.unwrap_or(line_end);
        if written_end == b"\r" && empty_line == b"\n" {
            // After a CR, a single LF is not a line of its own.
            frame.put(b"\n");
        }
        frame.put(empty_line);
        frame.put(self.missing_line_feed());
        Encoded::of(frame.take())
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let end = if self.is_terminated() { self.spans.empty_line } else { self.raw.len() };
        let mut rest = self.raw.get(..end).unwrap_or_default();
        std::iter::from_fn(move || {
            let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(len)?;
            let end_len = if after.is_empty() { 0 } else { line_end_len(after) };
            let (whole, after) = rest.split_at_checked(len + end_len)?;
            rest = after;
            (!whole.is_empty()).then_some((line, whole))
        })
    }
}

pub(super) fn reconnection_time(digits: &[u8]) -> Duration {
    Duration::from_millis(text(digits).parse().unwrap_or(u64::MAX))
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventRef").field(&text(self.raw)).finish()
    }
}

/// The places of the fields in an event's bytes, so that reading a field doesn't parse the lines
/// again. Only data of several lines is parsed again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldSpans {
    /// The length of the lines that have been read, with their line ends.
    pub(super) len: usize,
    /// The start of the empty line; 0 until it has been read.
    pub(super) empty_line: usize,
    pub(super) name: Span,
    pub(super) id: Span,
    pub(super) retry: Span,
    /// The value of the first `data` line.
    pub(super) data: Span,
    /// Whether more `data` lines follow the first one.
    pub(super) has_more_data: bool,
    /// Whether there are lines other than `data:` lines. Most events have no other lines.
    pub(super) has_other_lines: bool,
}

/// A part of an event's bytes. The start 0 stands for no part: every value follows a field's name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// Returns the span of the `value` that follows a line's colon and ends at `end`, without its
    /// optional leading space.
    #[inline]
    fn before(end: usize, value: &[u8]) -> Self {
        let value = value.strip_prefix(b" ").unwrap_or(value);
        Self { start: end - value.len(), end }
    }

    #[inline]
    pub(super) fn of(self, event: &[u8]) -> Option<&[u8]> {
        if self.start == 0 { None } else { event.get(self.start..self.end) }
    }
}

impl FieldSpans {
    /// Reads the complete lines of `event` that have not been read. Returns whether the event ends
    /// in them.
    #[inline]
    pub(super) fn read(&mut self, event: &[u8]) -> bool {
        loop {
            let rest = event.get(self.len..).unwrap_or_default();
            let line_len = match rest {
                [b'\n' | b'\r', ..] => {
                    self.empty_line = self.len;
                    self.len += line_end_len(rest);
                    return true;
                }
                // Data is long enough for memchr and the only field of most events.
                [b'd', b'a', b't', b'a', b':', value @ ..] => {
                    let Some(value_len) = memchr2(b'\n', b'\r', value) else { return false };
                    let start = self.len + 5 + usize::from(value.first() == Some(&b' '));
                    self.add_data(Span { start, end: self.len + 5 + value_len });
                    value_len + 5
                }
                rest => {
                    let Some(line_len) = short_line_len(rest) else { return false };
                    self.add_line(rest.get(..line_len).unwrap_or_default());
                    line_len
                }
            };
            self.len += line_len + line_end_len(rest.get(line_len..).unwrap_or_default());
        }
    }

    pub(super) fn read_last(&mut self, event: &[u8]) {
        if !self.read(event) {
            self.add_line(event.get(self.len..).unwrap_or_default());
            self.len = event.len();
        }
    }

    #[inline]
    fn add_data(&mut self, value: Span) {
        if self.data.start == 0 {
            self.data = value;
        } else {
            self.has_more_data = true;
        }
    }

    #[inline]
    fn add_line(&mut self, line: &[u8]) {
        self.has_other_lines = true;
        let end = self.len + line.len();
        match line {
            [b'i', b'd', b':', value @ ..] if !value.contains(&b'\0') => {
                self.id = Span::before(end, value);
            }
            [b'e', b'v', b'e', b'n', b't', b':', value @ ..] => {
                self.name = Span::before(end, value);
            }
            line => self.add_rare_line(line, end),
        }
    }

    #[inline(never)]
    fn add_rare_line(&mut self, line: &[u8], end: usize) {
        let Line::Field { name, value } = Line::parse(line) else { return };
        match name {
            b"data" => self.add_data(Span { start: end - value.len(), end }),
            b"event" => self.name = Span { start: end, end },
            b"id" if value.is_empty() => self.id = Span { start: end, end },
            b"retry" if is_reconnection_time(value) => {
                self.retry = Span { start: end - value.len(), end };
            }
            _ => {}
        }
    }
}

/// Returns the length of the first line, if it is complete. Searches the first 16 bytes as two
/// words, because most lines other than data are too short for memchr.
#[inline]
fn short_line_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    for at in [0, 8] {
        let Some((word, after)) = rest.split_first_chunk() else { break };
        let found = line_end_bits(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    Some(bytes.len() - rest.len() + memchr2(b'\n', b'\r', rest)?)
}

/// Returns a word whose lowest set bit is the top bit of the byte with the first CR or LF in
/// `word`. Returns zero if there is none.
#[inline]
const fn line_end_bits(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);

    let (lf, cr) = (word ^ (ONES * b'\n' as u64), word ^ (ONES * b'\r' as u64));
    // In a subtraction, only a zero byte borrows from the byte above it, so no bit below the first
    // match is set.
    (lf.wrapping_sub(ONES) & !lf | cr.wrapping_sub(ONES) & !cr) & (ONES << 7)
}

/// Writes `data` as `data` lines. The lines end with the line end at the start of `after`, except
/// the last line, which gets no line end.
#[inline]
fn put_data(frame: &mut FrameBuf, data: &[u8], after: &[u8]) {
    frame.open(DATA);
    if after.starts_with(b"\n") {
        frame.put_lines(DATA, data);
    } else {
        let line_end = after.get(..line_end_len(after)).unwrap_or_default();
        frame.put_lines_ending_in(line_end, DATA, data);
    }
}

/// Returns the length of the line end at the start of `bytes`: 1 for a CR whose LF may be in the
/// next chunk.
#[inline]
pub(super) fn line_end_len(bytes: &[u8]) -> usize {
    1 + usize::from(bytes.starts_with(b"\r\n"))
}

/// A line of an event stream. Values lack the space that may follow the colon.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line<'a> {
    Empty,
    Comment(&'a [u8]),
    Field { name: &'a [u8], value: &'a [u8] },
}

impl<'a> Line<'a> {
    /// Reads a line without its line end.
    // Without `always`, the parts of the line would be returned through memory.
    #[inline(always)]
    pub(crate) fn parse(line: &'a [u8]) -> Self {
        if line.is_empty() {
            return Self::Empty;
        }
        // Names are so short that a call of memchr would cost more than this search.
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if colon == 0 { Self::Comment(value) } else { Self::Field { name, value } }
    }
}

pub(crate) fn is_reconnection_time(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

/// Returns the bytes as text. Line ends are ASCII, so decoding line by line changes no character.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // `from_utf8_lossy` alone reads byte by byte.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
