use std::{error::Error, fmt};

use crate::{BoxError, error::with_causes, event::EventId, history::Position};

/// The id of a published event, and the number of the topic's subscriptions in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    pub(crate) position: Position,
    /// The number of subscriptions that the topic had in this process when the event was published.
    /// With a [broker](super::Hub::connect), it's the number when the event was acknowledged.
    /// Without a broker, each of these subscriptions sends the event, unless the subscription ends
    /// or the event is evicted or replaced first.
    pub subscribers: usize,
}

impl Receipt {
    /// Returns the event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.position.into()
    }
}

/// The reason an event was not published, or may not have been. The error's text includes its
/// cause, and [`source`](Error::source) returns `None`.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The value did not convert into an event, for example because it failed to serialise, or the
    /// event has a [reserved name](super#reserved-names) or a character that the broker can't
    /// store.
    Invalid(BoxError),
    /// The event's data exceeds 1 MiB, or the event exceeds another limit of the broker. Publishing
    /// it again returns the same error. Publish a smaller event, such as a link to the data.
    TooLarge(BoxError),
    /// The event has no data, so browsers and most other clients would not dispatch it.
    NoData,
    /// The event has an id. Only the hub assigns ids, because clients resume from these ids.
    HasId,
    /// The hub is [closed](super::Hub::close).
    Closed,
    /// The topic has [ended](super::Hub::end). No subscriber receives the event.
    Ended,
    /// The event did not reach the broker, or the broker rejected it. Publishing it again is safe.
    Refused(BoxError),
    /// The event was sent to the broker, but may not have been published. Publishing it again can
    /// duplicate it. If that matters, put a unique key in its data.
    Unknown(BoxError),
    /// The hub has a [broker](super::Hub::connect): use [`publish`](super::Hub::publish).
    NotInProcess,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, cause) = match self {
            Self::Invalid(cause) => ("value is not an event to publish", cause),
            Self::TooLarge(cause) => ("event is too large", cause),
            Self::Refused(cause) => ("event was not published", cause),
            Self::Unknown(cause) => ("broker did not acknowledge the event", cause),
            Self::NoData => return f.write_str("event has no data"),
            Self::HasId => return f.write_str("event has an id, which only the hub may assign"),
            Self::Closed => return f.write_str("hub is closed"),
            Self::Ended => return f.write_str("topic has ended"),
            Self::NotInProcess => {
                return f.write_str("hub has a broker, so only `publish` can publish");
            }
        };
        write!(f, "{what}: {}", with_causes(&**cause))
    }
}

impl Error for PublishError {}
