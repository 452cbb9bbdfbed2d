use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use memchr::memchr2;

use super::{
    Encoded, FrameBuf,
    field_spans::{FieldSpans, line_end_len},
    line::{Line, text},
    lines::DATA,
};

/// The name of an event without an `event` field.
pub(super) const NO_NAME: &str = "message";

/// An event of a stream, borrowed from the bytes in which it was received.
///
/// An [`EventSplitter`](crate::EventSplitter) finds events, and a [filter](crate::filter) sees them.
/// In contrast to a [`Message`](crate::Message), it is the whole block, byte for byte: with its
/// comments and unknown fields, and also if it has no data, so that browsers do not dispatch it.
///
/// ```
/// use tower_sse::{EventSplitter, Piece};
///
/// let mut splitter = EventSplitter::new();
/// let mut stream = &b"id: 7\nevent: tick\ndata: one\ndata: two\n\n"[..];
/// let Some(Piece::Event(event)) = splitter.next(&mut stream)? else { panic!() };
/// assert_eq!(event.name(), "tick");
/// assert_eq!(event.id().as_deref(), Some("7"));
/// assert_eq!(event.data(), "one\ntwo");
/// # Ok::<_, tower_sse::EventTooLarge>(())
/// ```
///
/// Bytes that are not UTF-8 become U+FFFD where a method returns text, as in browsers.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    pub(super) raw: &'a [u8],
    pub(super) spans: &'a FieldSpans,
}

impl<'a> EventRef<'a> {
    /// Returns the bytes of the event, including the empty line that ends it.
    ///
    /// If that line ends in CRLF, and its LF had not been received when its CR was, the bytes end in
    /// the CR. Nothing else depends on how the stream was cut.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Returns the event's name: `message` if it has no `event` field or an empty one.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        self.field_name().unwrap_or(Cow::Borrowed(NO_NAME))
    }

    /// Returns the value of the `event` field, unless it is empty.
    fn field_name(&self) -> Option<Cow<'a, str>> {
        self.spans.name.of(self.raw).filter(|name| !name.is_empty()).map(text)
    }

    /// Returns whether the event has lines besides its data.
    #[inline]
    pub(super) const fn has_other_lines(&self) -> bool {
        self.spans.has_other_lines
    }

    /// Copies the event's name, unless it has none.
    pub(super) fn owned_name(&self) -> Cow<'static, str> {
        let name = self.field_name();
        name.map_or(Cow::Borrowed(NO_NAME), |name| Cow::Owned(name.into_owned()))
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

    /// Returns the bytes of the [data](Self::data). They are copied only if the data has several
    /// lines.
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

    /// Returns whether the event has a `data` field, which can be empty. Browsers dispatch only such
    /// events.
    #[must_use]
    #[inline]
    pub fn has_data(&self) -> bool {
        self.spans.data.of(self.raw).is_some()
    }

    /// Returns the value of the `id` field, which can be empty. One that contains U+0000 is ignored,
    /// as in browsers.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.spans.id.of(self.raw).map(text)
    }

    /// Returns the reconnection time that the event sets, at most `u64::MAX` milliseconds.
    ///
    /// A `retry` line between events belongs to none.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.spans.retry.of(self.raw).map(reconnection_time)
    }

    /// Returns the name and value of each line in order, without the empty line. The name of a
    /// comment is empty.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines().map(|(line, _)| match Line::parse(line) {
            Line::Field { name, value } => (name, value),
            Line::Comment(value) => (&[][..], value),
            Line::Empty => (&[][..], &[][..]),
        })
    }

    /// Returns whether the empty line has been received that ends the event.
    ///
    /// It is `false` only if the stream has ended in the middle of the event. Browsers discard such
    /// an event, and some clients dispatch it.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        self.spans.empty_line > 0
    }

    /// Copies the event, so that it can be sent. The copy is whole, even if the event is not
    /// [terminated](Self::is_terminated) or the LF of its last CRLF has not been received.
    #[must_use]
    pub fn to_encoded(&self) -> Encoded {
        if !self.is_terminated() {
            return self.rewritten(None);
        } else if self.raw.ends_with(b"\r") {
            return Encoded::of([self.raw, self.missing_line_feed()].concat().into());
        }
        Encoded::of(Bytes::copy_from_slice(self.raw))
    }

    /// Copies the event with `data` in place of its own. All other lines keep their bytes and their
    /// order: id, name, comments and unknown fields.
    ///
    /// The new `data` lines stand where the first one was, or at the end if there was none. They end
    /// as the line there did, because some clients split a stream only where the same line end comes
    /// twice. `data` is split at its line breaks, so any text is safe. The result is whole, as that of
    /// [`to_encoded`](Self::to_encoded) is.
    ///
    /// ```
    /// use tower_sse::{EventSplitter, Piece};
    ///
    /// let mut splitter = EventSplitter::new();
    /// let mut stream = &b"id: 7\n: note\ndata: secret\nx-trace: 1\n\n"[..];
    /// let Some(Piece::Event(event)) = splitter.next(&mut stream)? else { panic!() };
    /// let redacted = event.with_data("***");
    /// assert_eq!(redacted.as_bytes(), b"id: 7\n: note\ndata: ***\nx-trace: 1\n\n");
    /// # Ok::<_, tower_sse::EventTooLarge>(())
    /// ```
    #[must_use]
    pub fn with_data(&self, data: impl AsRef<str>) -> Encoded {
        let data = data.as_ref().as_bytes();
        let Some((before, after)) = self.around_data() else { return self.rewritten(Some(data)) };
        let mut frame = FrameBuf::new();
        // `len_of` counts an LF, which `after` has too. A capacity that is just right saves an allocation.
        frame.reserve(before.len() + DATA.len_of(data) + after.len().saturating_sub(1));
        if !before.is_empty() {
            frame.put(before);
        }
        frame.put_data(data, after);
        frame.put(after);
        if after.ends_with(b"\r") {
            frame.put(self.missing_line_feed());
        }
        Encoded::of(frame.take())
    }

    /// Returns what stands before the only `data` line and after its value, unless it is a rare one.
    fn around_data(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.spans.has_more_data || !self.is_terminated() {
            return None;
        }
        let (before, value) = self.raw.split_at_checked(self.spans.data.start)?;
        let before = before.strip_suffix(b" ").unwrap_or(before).strip_suffix(b"data:")?;
        Some((before, value.get(self.spans.data.end - self.spans.data.start..)?))
    }

    /// Returns the LF that belongs to the empty line and has not been received. Behind a line that
    /// ends in CR alone, the empty line does too.
    fn missing_line_feed(&self) -> &'static [u8] {
        match self.raw.split_at_checked(self.spans.empty_line) {
            Some(([.., b'\n'], b"\r")) => b"\n",
            _ => b"",
        }
    }

    /// Writes the event as a whole one, with `data` in place of its own.
    fn rewritten(&self, mut data: Option<&[u8]>) -> Encoded {
        let mut frame = FrameBuf::new();
        frame.reserve(self.raw.len() + data.map_or(0, |data| DATA.len_of(data)) + 4);
        let is_replaced = data.is_some();
        let (mut line_end, mut written_end) = (&b"\n"[..], &b""[..]);
        for (line, whole) in self.lines() {
            // The last line may break off.
            line_end = whole.get(line.len()..).filter(|end| !end.is_empty()).unwrap_or(line_end);
            if !is_replaced || !matches!(Line::parse(line), Line::Field { name: b"data", .. }) {
                frame.put(line);
            } else if let Some(data) = data.take() {
                frame.put_data(data, line_end);
            } else {
                continue;
            }
            frame.put(line_end);
            written_end = line_end;
        }
        if let Some(data) = data {
            frame.put_data(data, line_end);
            frame.put(line_end);
            written_end = line_end;
        }
        let empty_line = self.raw.get(self.spans.empty_line..).filter(|_| self.is_terminated());
        let empty_line = empty_line.unwrap_or(line_end);
        if written_end == b"\r" && empty_line == b"\n" {
            // Behind a CR, one LF is no line of its own.
            frame.put(b"\n");
        }
        frame.put(empty_line);
        frame.put(self.missing_line_feed());
        Encoded::of(frame.take())
    }

    /// Returns the lines before the empty one, without and with their line ends.
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

impl FrameBuf {
    /// Writes `data` as lines of their own, the last of which remains open. They take the line end
    /// with which `after` begins.
    #[inline]
    fn put_data(&mut self, data: &[u8], after: &[u8]) {
        self.open(DATA);
        if after.starts_with(b"\n") {
            self.put_lines(DATA, data);
        } else {
            let line_end = after.get(..line_end_len(after)).unwrap_or_default();
            self.put_lines_ending_in(line_end, DATA, data);
        }
    }
}

/// Returns the time of a valid `retry` field.
pub(super) fn reconnection_time(digits: &[u8]) -> Duration {
    Duration::from_millis(text(digits).parse().unwrap_or(u64::MAX))
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventRef").field(&text(self.raw)).finish()
    }
}
