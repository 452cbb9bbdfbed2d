use memchr::memchr2;

use super::line::{BYTE_ORDER_MARK, Line, is_reconnection_time};

/// A reader of the lines of an event stream that arrives in pieces. Lines end in LF, CR or CRLF. A
/// byte order mark at the start of the stream belongs to no line.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineReader {
    /// The beginning of the incomplete line, or the last line, if it came in several pieces.
    line: Vec<u8>,
    /// `line` is complete and has been returned.
    is_returned: bool,
    /// The last byte was a CR, so an LF that follows belongs to the same line end.
    after_cr: bool,
    has_first_line: bool,
}

/// The error for a line that is longer than the caller's limit.
#[derive(Debug)]
pub(crate) struct TooLong;

impl LineReader {
    /// Consumes `input` up to the end of the next line and returns that line without its end.
    /// Consumes all of `input` and returns `None` if no line ends in it.
    ///
    /// Returns an error if more than `limit` bytes of one line have come. Nothing can be read then.
    // Without `always`, the result would be returned through memory.
    #[inline(always)]
    pub(crate) fn next<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b [u8],
        limit: usize,
    ) -> Result<Option<&'a [u8]>, TooLong> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.is_returned {
            self.is_returned = false;
            self.line.clear();
        }
        if self.after_cr {
            self.after_cr = false;
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        let end = memchr2(b'\n', b'\r', input);
        let (part, rest) = input.split_at_checked(end.unwrap_or(input.len())).unwrap_or_default();
        if self.line.len() + part.len() > limit {
            self.line = Vec::new();
            return Err(TooLong);
        }
        let [line_end, rest @ ..] = rest else {
            self.line.extend_from_slice(part);
            *input = rest;
            return Ok(None);
        };
        self.after_cr = *line_end == b'\r';
        *input = rest;
        let line = if self.line.is_empty() {
            part
        } else {
            self.line.extend_from_slice(part);
            self.is_returned = true;
            &self.line
        };
        if self.has_first_line {
            return Ok(Some(line));
        }
        self.has_first_line = true;
        Ok(Some(line.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(line)))
    }

    /// Returns the beginning of the incomplete line.
    pub(crate) fn incomplete(&self) -> &[u8] {
        if self.is_returned { &[] } else { &self.line }
    }
}

impl LineReader {
    /// Returns whether the next byte starts a line. Also returns `false` before the stream's first
    /// line, and after a CR, because an LF may follow.
    pub(crate) fn is_at_line_start(&self) -> bool {
        self.has_first_line && !self.after_cr && self.incomplete().is_empty()
    }

    /// Drops the text of an incomplete comment.
    pub(crate) fn drop_comment(&mut self) {
        if self.incomplete().starts_with(b":") {
            self.line.truncate(1);
        }
    }

    /// Returns the memory of the incomplete line.
    pub(crate) const fn memory(&self) -> usize {
        self.line.capacity()
    }

    /// Frees the memory of an incomplete line that is empty, if it is more than `kept` bytes.
    pub(crate) fn shrink(&mut self, kept: usize) {
        if self.incomplete().is_empty() && self.line.capacity() > kept {
            self.line = Vec::new();
            self.is_returned = false;
        }
    }
}

/// Returns whether the first bytes of a stream show a `retry` field in its first block.
pub(crate) fn first_block_has_retry(stream: &[u8]) -> bool {
    let mut lines = LineReader::default();
    // The line that the stream breaks off in counts too.
    for mut piece in [stream, b"\n"] {
        while let Ok(Some(line)) = lines.next(&mut piece, usize::MAX) {
            match Line::parse(line) {
                Line::Empty => return false,
                Line::Field { name: b"retry", value } if is_reconnection_time(value) => {
                    return true;
                }
                _ => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{LineReader, first_block_has_retry};

    #[test]
    fn first_block_has_retry_only_with_a_whole_number_before_its_end() {
        for (stream, expected) in [
            ("", false),
            ("retry: 5\n\n", true),
            ("data: x\r\nretry:50", true),
            ("retry: soon\ndata: x\n\n", false),
            ("retry\nretry:\nretry: -1\n\n", false),
            ("data: x\n\nretry: 5\n\n", false),
        ] {
            assert_eq!(first_block_has_retry(stream.as_bytes()), expected, "{stream:?}");
        }
    }

    #[test]
    fn memory_of_long_lines_is_freed_between_lines() {
        let long = "x".repeat(1000);
        let mut lines = LineReader::default();
        assert!(lines.next(&mut long.as_bytes(), usize::MAX).unwrap().is_none());
        assert_eq!(lines.incomplete(), long.as_bytes());
        lines.shrink(100);
        assert!(lines.memory() >= 1000, "the line is incomplete");
        assert_eq!(lines.next(&mut &b"\n"[..], usize::MAX).unwrap(), Some(long.as_bytes()));
        assert_eq!(lines.incomplete(), b"");
        let memory = lines.memory();
        lines.shrink(memory);
        assert_eq!(lines.memory(), memory);
        lines.shrink(memory - 1);
        assert_eq!(lines.memory(), 0);
        assert_eq!(lines.next(&mut &b"y\n"[..], usize::MAX).unwrap(), Some(&b"y"[..]));
    }

    #[test]
    fn incomplete_comment_is_dropped_except_for_its_colon() {
        for (line, kept) in [(": long", ":"), ("data: :", "data: :")] {
            let mut lines = LineReader::default();
            assert!(lines.next(&mut line.as_bytes(), usize::MAX).unwrap().is_none());
            lines.drop_comment();
            assert_eq!(lines.incomplete(), kept.as_bytes());
        }
    }
}
