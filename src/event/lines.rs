//! The lines of the wire format: fields, and text that is split at its line breaks.

use memchr::{memchr2, memchr2_iter};

use super::FrameBuf;

/// The bytes with which a field starts a line: the first line of a block, or a next line, where
/// they include the end of the previous one. One copy of seven bytes is cheaper than copies of one
/// and six.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    first: &'static str,
    next: &'static str,
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

impl FrameBuf {
    /// Opens the block's first line.
    #[inline]
    pub(crate) fn open(&mut self, field: Field) {
        self.put(field.first.as_bytes());
    }

    /// Ends the previous line and opens the next one.
    #[inline]
    pub(crate) fn open_next(&mut self, field: Field) {
        self.put(field.next.as_bytes());
    }

    /// Writes `text` into the open line of `field`, and opens a new line at each line break (CR, LF
    /// or CRLF). A trailing line break therefore adds an empty line.
    #[inline]
    pub(crate) fn put_lines(&mut self, field: Field, text: &[u8]) {
        if has_line_break(text) {
            self.put_many_lines(field, text);
        } else {
            self.put(text);
        }
    }

    /// Does the same as [`put_lines`](Self::put_lines) with another line end than LF.
    pub(crate) fn put_lines_ending_in(&mut self, line_end: &[u8], field: Field, text: &[u8]) {
        let mut rest = text;
        while let Some((line, after)) = split_line(rest) {
            self.put(line);
            self.put(line_end);
            self.open(field);
            rest = after;
        }
        self.put(rest);
    }

    // Inlined, so that the field's name has a constant length.
    #[inline]
    fn put_many_lines(&mut self, field: Field, text: &[u8]) {
        let mut rest = text;
        while let Some((line, after)) = split_line(rest) {
            self.put(line);
            self.open_next(field);
            rest = after;
        }
        self.put(rest);
    }
}

/// Splits `text` at its first line break, or returns `None` if it has none.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
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
fn has_line_break(text: &[u8]) -> bool {
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
