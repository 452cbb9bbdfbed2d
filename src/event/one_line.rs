//! One-line text: what an event's id and name can be, and JSON that no client splits into lines.

/// The error for text that can't be the name or the id of an event. The text contains a line feed,
/// a carriage return or U+0000.
///
/// ```
/// let error = tower_sse::EventId::try_from("7\ndata: forged").unwrap_err();
/// assert_eq!(error.to_string(), r"event id contains '\n' at byte 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    field: &'static str,
    character: char,
    position: usize,
}

error_text!(
    InvalidField,
    |it| "event {} contains {:?} at byte {}",
    it.field,
    it.character,
    it.position
);

/// Returns the index and value of the first character that a one-line field cannot contain.
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

pub(crate) fn check_one_line(field: &'static str, text: &str) -> Result<(), InvalidField> {
    match first_forbidden(text) {
        None => Ok(()),
        Some((position, character)) => Err(InvalidField { field, character, position }),
    }
}

pub(crate) const fn is_one_line(text: &str) -> bool {
    first_forbidden(text).is_none()
}

/// Replaces the characters that `is_escaped` chooses with JSON escapes.
#[cfg(any(feature = "hub", feature = "json"))]
pub(crate) fn escape_json(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::new(), |escaped, character| match is_escaped(character) {
        true => escaped + &format!("\\u{:04x}", u32::from(character)),
        false => escaped + character.encode_utf8(&mut [0; 4]),
    })
}

/// Implements the conversions of a type that wraps the text of the one-line field `$field`. With
/// `$what`, the type's name in panic messages, also implements `from_static` and `as_str`.
macro_rules! one_line_text {
    ($type:ty, $field:literal, $what:literal) => {
        impl $type {
            /// Creates a value from a literal, without copying the literal.
            ///
            /// # Panics
            ///
            /// Panics if the literal contains a line feed, a carriage return or U+0000. In a
            /// `const`, this is a compile-time error.
            #[must_use]
            #[track_caller]
            pub const fn from_static(text: &'static str) -> Self {
                // The text is a literal, unless the program leaks memory to make it `'static`.
                assert!(
                    $crate::event::one_line::is_one_line(text),
                    concat!($what, " cannot contain a line break or NUL")
                );
                Self(std::borrow::Cow::Borrowed(text))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        $crate::event::one_line::one_line_text!($type, $field);
    };
    ($type:ty, $field:literal) => {
        impl TryFrom<String> for $type {
            type Error = $crate::event::InvalidField;

            fn try_from(text: String) -> Result<Self, $crate::event::InvalidField> {
                $crate::event::check_one_line($field, &text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $type {
            type Error = $crate::event::InvalidField;

            fn try_from(text: &str) -> Result<Self, $crate::event::InvalidField> {
                Self::try_from(text.to_owned())
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use one_line_text;
