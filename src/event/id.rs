use std::borrow::Cow;

use super::field::{is_one_line, one_line_text};
use crate::sealed::Sealed;

/// The id of an event, which a client sends as `Last-Event-ID` when it reconnects.
///
/// It cannot contain a line feed, a carriage return or U+0000, so text received at run time cannot
/// forge other fields. An empty id is valid: it clears the client's last event id, and the client's
/// next request has no `Last-Event-ID`. HTTP removes spaces and tabs at both ends of a header's
/// value, so an id that has some returns without them.
///
/// Keep ids short and plain if pages of other origins read the stream. Browsers send a CORS
/// preflight before a request whose `Last-Event-ID` is longer than 128 bytes or contains characters
/// such as `<`, `{` or `:`.
///
/// ```
/// use tower_sse::{Event, EventId};
///
/// # fn cursor() -> String { "eu-17".to_owned() }
/// let events = [
///     Event::new().id(42),
///     Event::new().id("a literal"),
///     Event::new().id(EventId::try_from(cursor())?),
/// ];
/// # Ok::<_, tower_sse::InvalidField>(())
/// ```
///
/// Unvalidated text does not compile:
///
/// ```compile_fail,E0277
/// # fn cursor() -> String { "eu-17".to_owned() }
/// let event = tower_sse::Event::new().id(cursor());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Cow<'static, str>);

impl EventId {
    /// Creates an id from text that the caller composed without line breaks and U+0000.
    pub(crate) fn from_one_line(id: String) -> Self {
        debug_assert!(is_one_line(&id), "an id of more than one line");
        Self(Cow::Owned(id))
    }
}

one_line_text!(EventId, "id", "an event's id");

/// A type that [`Event::id`](crate::Event::id) accepts: a literal, an integer of any type or an
/// [`EventId`].
///
/// The trait is sealed. A literal is validated like a header name passed to
/// [`HeaderMap::insert`](http::HeaderMap::insert): one with a line break or U+0000 panics. Text
/// that is known only at run time is converted by [`EventId::try_from`] or
/// [`Event::try_id`](crate::Event::try_id), which return an error instead. An integer is written
/// into the frame without an intermediate string.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an event's id",
    label = "neither a literal, nor an integer, nor an `EventId`",
    note = "text known only at run time must be validated: `event.try_id(text)?` or \
            `EventId::try_from(text)?`"
)]
pub trait IntoEventId: Sealed {
    #[doc(hidden)]
    fn into_id(self) -> Id;
}

/// An id before it is encoded. Integers are encoded without an intermediate string.
#[derive(Clone, Debug)]
pub enum Id {
    Unsigned(u64),
    Signed(i64),
    Text(EventId),
}

impl IntoEventId for &'static str {
    #[track_caller]
    fn into_id(self) -> Id {
        Id::Text(EventId::from_static(self))
    }
}

impl Sealed for EventId {}

impl IntoEventId for EventId {
    fn into_id(self) -> Id {
        Id::Text(self)
    }
}

/// Implements [`IntoEventId`] for integers. All types are here from the start, because adding one
/// later could make `id(42)` ambiguous in existing code.
macro_rules! integer_ids {
    ($($integer:ty)*) => {$(
        impl Sealed for $integer {}

        impl IntoEventId for $integer {
            fn into_id(self) -> Id {
                u64::try_from(self)
                    .map(Id::Unsigned)
                    .or_else(|_| i64::try_from(self).map(Id::Signed))
                    .unwrap_or_else(|_| Id::Text(EventId(Cow::Owned(self.to_string()))))
            }
        }
    )*};
}

integer_ids!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
