use memchr::memchr;

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
    #[inline]
    pub(crate) fn parse(line: &'a [u8]) -> Self {
        match memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) {
            Some((b"", [_, b' ', text @ ..] | [_, text @ ..])) => Self::Comment(text),
            Some((name, [_, b' ', value @ ..] | [_, value @ ..])) => Self::Field { name, value },
            _ if line.is_empty() => Self::Empty,
            _ => Self::Field { name: line, value: b"" },
        }
    }
}

/// Returns whether clients accept the value of a `retry` field, which must consist of digits.
pub(crate) fn is_reconnection_time(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}
