//! The lines of the wire format: fields, and text that is split at its line breaks.

use std::{borrow::Cow, str};

use memchr::{memchr2, memchr2_iter};

/// The bytes with which a field starts a line: the first line of a block, or a next line, where
/// they include the end of the previous one. One copy of seven bytes is cheaper than copies of one
/// and six.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(super) first: &'static str,
    pub(super) next: &'static str,
}

pub(crate) const COMMENT: Field = Field { first: ": ", next: "\n: " };
pub(crate) const DATA: Field = Field { first: "data: ", next: "\ndata: " };
pub(crate) const EVENT: Field = Field { first: "event: ", next: "\nevent: " };
pub(crate) const ID: Field = Field { first: "id: ", next: "\nid: " };
pub(crate) const RETRY: Field = Field { first: "retry: ", next: "\nretry: " };

impl Field {
    /// Returns the length of `text` as lines of this field, including line ends. It counts a CRLF
    /// as two line breaks, because the result is only used as a capacity.
    pub(crate) fn len_of(self, text: &[u8]) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', text).count();
        text.len() - breaks + (1 + breaks) * self.next.len()
    }
}

/// Splits `text` at its first line break, or returns `None` if it has none.
pub(super) fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = text.split_at_checked(memchr2(b'\n', b'\r', text)?)?;
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        [] => rest,
    };
    Some((line, rest))
}

/// Returns whether `text` contains a CR or LF.
///
/// For short text, memchr's set-up costs more than the search, so whole chunks are compared. The
/// last chunk overlaps the previous one.
// Without `always`, unrelated code decides whether this is inlined.
#[inline(always)]
pub(super) fn has_line_break(text: &[u8]) -> bool {
    if text.len() > 128 {
        return memchr2(b'\n', b'\r', text).is_some();
    }
    if let Some(last) = text.last_chunk::<16>() {
        let (chunks, _) = text.as_chunks::<16>();
        return chunks.iter().any(chunk_has_line_break) || chunk_has_line_break(last);
    }
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => chunk_has_line_break(first) || chunk_has_line_break(last),
        _ => text.iter().any(|byte| matches!(byte, b'\n' | b'\r')),
    }
}

/// Returns whether a chunk contains a CR or LF, without branches, so that the compiler vectorises
/// it.
#[inline]
fn chunk_has_line_break<const N: usize>(chunk: &[u8; N]) -> bool {
    chunk.iter().fold(false, |found, byte| found | (*byte == b'\n') | (*byte == b'\r'))
}

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

#[cfg(test)]
mod tests {
    use super::has_line_break;

    #[test]
    fn line_breaks_are_found_at_every_index_and_length() {
        for len in 0..160 {
            let mut text = vec![b'\x0b'; len];
            assert!(!has_line_break(&text), "none in {len} bytes");
            for at in 0..len {
                for line_break in [b'\n', b'\r'] {
                    text[at] = line_break;
                    assert!(has_line_break(&text), "{line_break:?} at {at} of {len}");
                    text[at] = if at % 2 == 0 { b'\x8a' } else { b'\x00' };
                }
            }
            assert!(!has_line_break(&text), "none in {len} bytes");
        }
    }

    #[test]
    fn line_breaks_do_not_cancel_each_other() {
        for text in ["\n\n", "\r\r", "\n\r", "\r\n"] {
            for len in 2..40 {
                let text = text.repeat(len / 2) + &"x".repeat(len % 2);
                assert!(has_line_break(text.as_bytes()), "{text:?}");
            }
        }
    }
}
