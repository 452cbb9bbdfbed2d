use std::borrow::Cow;

use super::field::one_line_text;
use crate::sealed::Sealed;

/// The name of an event, for which page code listens: the value of the `event` field.
///
/// It cannot contain a line feed, a carriage return or U+0000, so text received at run time cannot
/// forge other fields. An empty name means `message`, the default.
///
/// ```
/// use tower_sse::{Event, EventName};
///
/// const PRICE: EventName = EventName::from_static("price");
///
/// # fn ticker() -> String { "acme".to_owned() }
/// let ticker = EventName::try_from(ticker())?;
/// let events = [Event::new().event(PRICE), Event::new().event(ticker)];
/// # Ok::<_, tower_sse::InvalidField>(())
/// ```
///
/// Unvalidated text does not compile:
///
/// ```compile_fail,E0277
/// # fn ticker() -> String { "acme".to_owned() }
/// let event = tower_sse::Event::new().event(ticker());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Cow<'static, str>);

one_line_text!(EventName, "event", "an event's name");

/// A type that [`Event::event`](crate::Event::event) accepts: a literal or an [`EventName`].
///
/// The trait is sealed. A literal is validated like a header name passed to
/// [`HeaderMap::insert`](http::HeaderMap::insert): one with a line break or U+0000 panics. Text
/// that is known only at run time is converted by [`EventName::try_from`] or
/// [`Event::try_event`](crate::Event::try_event), which return an error instead.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't name an event",
    label = "neither a literal nor an `EventName`",
    note = "text known only at run time must be validated: `event.try_event(text)?` or \
            `EventName::try_from(text)?`"
)]
pub trait IntoEventName: Sealed {
    #[doc(hidden)]
    fn into_name(self) -> EventName;
}

impl Sealed for &'static str {}

impl IntoEventName for &'static str {
    #[track_caller]
    fn into_name(self) -> EventName {
        EventName::from_static(self)
    }
}

impl Sealed for EventName {}

impl IntoEventName for EventName {
    fn into_name(self) -> EventName {
        self
    }
}
