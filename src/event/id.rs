use std::{borrow::Cow, fmt, str::FromStr};

use super::field::{InvalidField, check_one_line, is_one_line};

/// The id of an event: what a client sends back as `Last-Event-ID` when it reconnects.
///
/// It cannot contain a line feed, a carriage return or U+0000, so no text that came in at run time
/// can forge other fields. An empty id is legal: it makes the client forget the last one, so that
/// its next connection sends no `Last-Event-ID`.
///
/// An id that browsers of another origin send back should be short and plain: a reconnection whose
/// `Last-Event-ID` is longer than 128 bytes, or has characters such as `<`, `{` or `:`, is preceded
/// by a CORS preflight.
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
/// Text that was not checked does not compile:
///
/// ```compile_fail,E0277
/// # fn cursor() -> String { "eu-17".to_owned() }
/// let event = tower_sse::Event::new().id(cursor());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Cow<'static, str>);

impl EventId {
    /// An id known when the program is written; nothing is copied.
    ///
    /// # Panics
    ///
    /// If `id` has a line feed, a carriage return or U+0000: while compiling, when used in a
    /// `const`.
    #[must_use]
    #[track_caller]
    pub const fn from_static(id: &'static str) -> Self {
        // The text is the program's own, never run-time data.
        assert!(is_one_line(id), "an event's id cannot contain a line break or NUL");
        Self(Cow::Borrowed(id))
    }

    /// An id that cannot have a line break or U+0000, as it was made of other characters.
    #[cfg(feature = "hub")]
    pub(crate) fn from_one_line(id: String) -> Self {
        debug_assert!(is_one_line(&id), "an id of more than one line");
        Self(Cow::Owned(id))
    }

    /// The id as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventId {
    type Error = InvalidField;

    /// Takes the string over without a copy.
    fn try_from(id: String) -> Result<Self, InvalidField> {
        check_one_line("id", &id)?;
        Ok(Self(Cow::Owned(id)))
    }
}

impl TryFrom<&str> for EventId {
    type Error = InvalidField;

    fn try_from(id: &str) -> Result<Self, InvalidField> {
        check_one_line("id", id)?;
        Ok(Self(Cow::Owned(id.to_owned())))
    }
}

impl FromStr for EventId {
    type Err = InvalidField;

    fn from_str(id: &str) -> Result<Self, InvalidField> {
        Self::try_from(id)
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What [`Event::id`](crate::Event::id) takes: a literal, an integer of any type, or an
/// [`EventId`].
///
/// The trait is sealed. A literal is checked like a header name given to
/// [`HeaderMap::insert`](http::HeaderMap::insert): one with a line break or a NUL panics. A text
/// that is only known at run time gets in through [`EventId::try_from`], which can say no. An
/// integer is written straight into the frame, without a string in between.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an event's id",
    label = "neither a literal, nor an integer, nor an `EventId`",
    note = "a text known only at run time must be checked: `EventId::try_from(text)?`"
)]
pub trait IntoEventId: sealed::IntoId {}

pub(crate) mod sealed {
    use super::EventId;

    /// An id before it is written: integers stay integers, so that none becomes a string on the way.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Id {
        Unsigned(u64),
        Signed(i64),
        Text(EventId),
    }

    pub trait IntoId {
        fn into_id(self) -> Id;
    }
}

pub(crate) use sealed::Id;

impl IntoEventId for &'static str {}
impl IntoEventId for EventId {}

impl sealed::IntoId for &'static str {
    #[track_caller]
    fn into_id(self) -> Id {
        Id::Text(EventId::from_static(self))
    }
}

impl sealed::IntoId for EventId {
    fn into_id(self) -> Id {
        Id::Text(self)
    }
}

/// Every integer type from the start: one more later would make `id(42)` ambiguous in code that
/// compiles today.
macro_rules! integer_ids {
    ($($integer:ty)*) => {$(
        impl IntoEventId for $integer {}

        impl sealed::IntoId for $integer {
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
