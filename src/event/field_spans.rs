use memchr::memchr2;

use super::line::{Line, is_reconnection_time};

/// Where the fields of an event are in its bytes, so that reading one needs no second parse and no
/// copy.
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
    /// More `data` lines follow the first one.
    pub(super) has_more_data: bool,
    /// There are other lines than `data` lines. Most events have none.
    pub(super) has_other_lines: bool,
}

/// A part of an event's bytes, or none. No value starts at 0, because a name stands before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// Returns the span of what stands behind a line's colon and before `end`, without the space that
    /// may follow the colon.
    #[inline]
    fn before(end: usize, value: &[u8]) -> Self {
        let value = value.strip_prefix(b" ").unwrap_or(value);
        Self { start: end - value.len(), end }
    }

    /// Returns these bytes of `event`, if the event has them.
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
                // Data is long enough for memchr, and the only field of most events.
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

    /// Reads the last line of an event that breaks off.
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

    /// Adds the line that starts behind those that have been read.
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

/// Returns the length of the line end at the start of `bytes`. The LF of a CRLF may come later.
#[inline]
pub(super) fn line_end_len(bytes: &[u8]) -> usize {
    1 + usize::from(bytes.starts_with(b"\r\n"))
}

/// Returns the length of the first line, if it is complete.
///
/// Most lines besides data are so short that memchr's set-up costs more than the search, so two words
/// are searched first.
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

/// Sets the highest bit of the first byte of `word` that is a CR or LF, and maybe bits above it.
#[inline]
const fn line_end_bits(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);

    let (lf, cr) = (word ^ (ONES * b'\n' as u64), word ^ (ONES * b'\r' as u64));
    // A subtraction borrows from the byte above only if the byte is zero.
    (lf.wrapping_sub(ONES) & !lf | cr.wrapping_sub(ONES) & !cr) & (ONES << 7)
}
