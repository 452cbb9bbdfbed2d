//! The lines of received bytes, their ends and their text.

use std::{borrow::Cow, str};

/// The bytes that may precede the first line of a stream.
pub(crate) const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

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
        // Names are so short that calling memchr costs more than the search.
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if colon == 0 { Self::Comment(value) } else { Self::Field { name, value } }
    }
}

/// Returns whether clients accept the value of a `retry` field, which must consist of digits.
pub(crate) fn is_reconnection_time(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

/// Returns the bytes as text, with U+FFFD in place of what is not UTF-8.
///
/// Line ends are ASCII, so decoding the whole stream would give the same characters.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // `from_utf8_lossy` alone reads byte by byte.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Returns the line without its line end, if it has one.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the length of the line end at the start of `bytes`. The LF of a CRLF may come later.
#[inline]
pub(super) fn line_end_len(bytes: &[u8]) -> usize {
    1 + usize::from(bytes.starts_with(b"\r\n"))
}
