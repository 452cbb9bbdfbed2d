use std::{error::Error, fmt};

/// What is wrong with a text that was to become an [`EventName`](crate::EventName) or an
/// [`EventId`](crate::EventId).
///
/// Neither may contain a line feed or a carriage return, which would end the line and let the rest
/// of the text pose as other fields, nor U+0000, for which clients ignore an `id`
/// ([HTML, "Interpreting an event stream"][html]).
///
/// ```
/// use tower_sse::EventId;
///
/// let error = EventId::try_from("7\ndata: forged").unwrap_err();
/// assert_eq!(error.field(), "id");
/// assert_eq!(error.character(), '\n');
/// assert_eq!(error.position(), 1);
/// assert_eq!(error.to_string(), r"an event's id cannot contain '\n', found at byte 1");
/// ```
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    field: &'static str,
    character: char,
    position: usize,
}

impl InvalidField {
    /// The field's name on the wire: `event` or `id`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The first character that is not allowed.
    #[must_use]
    pub const fn character(&self) -> char {
        self.character
    }

    /// Where that character stands in the text, in bytes from its start.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, character, position } = self;
        write!(f, "an event's {field} cannot contain {character:?}, found at byte {position}")
    }
}

impl Error for InvalidField {}

/// Where the first character stands that can't be in a one-line field.
const fn first_forbidden(text: &str) -> Option<(usize, char)> {
    let mut rest = text.as_bytes();
    let mut position = 0;
    while let [byte, tail @ ..] = rest {
        if matches!(byte, b'\n' | b'\r' | b'\0') {
            return Some((position, *byte as char));
        }
        rest = tail;
        position += 1;
    }
    None
}

/// Is `text` fit for a field of one line?
pub(crate) fn check_one_line(field: &'static str, text: &str) -> Result<(), InvalidField> {
    match first_forbidden(text) {
        None => Ok(()),
        Some((position, character)) => Err(InvalidField { field, character, position }),
    }
}

/// Can clients take `text` as one line, without a NUL?
pub(crate) const fn is_one_line(text: &str) -> bool {
    first_forbidden(text).is_none()
}
