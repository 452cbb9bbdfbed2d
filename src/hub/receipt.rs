use std::{error::Error, fmt};

use crate::{BoxError, error::with_causes, event::EventId, history::Position};

/// The id of a published event, and the number of the topic's subscriptions in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    pub(crate) position: Position,
    /// The number of subscriptions that the topic had in this process.
    ///
    /// - Without a [broker](super::Hub::connect), they are counted at publication. Each of these
    ///   subscriptions sends the event to its client, unless the subscription ends or the event is
    ///   evicted first.
    /// - With a broker, they are counted when the broker has acknowledged the event. Subscriptions
    ///   in other processes are not counted.
    pub subscribers: usize,
}

impl Receipt {
    /// Returns the id of the event. If a client received this event last, it sends the id as
    /// `Last-Event-ID` when it reconnects.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.position.into()
    }
}

/// The reason an event was not published, or may not have been.
///
/// The cause, if there is one, is in the variant and in the text of the error.
/// [`source`](Error::source) returns `None`.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The value did not convert into an event, for example because it failed to serialise.
    Invalid(BoxError),
    /// The event has no data, so browsers and most other clients would not dispatch it.
    NoData,
    /// The event has an id. Only the hub assigns ids, because clients resume from these ids.
    HasId,
    /// The hub is [closed](super::Hub::close).
    Closed,
    /// The topic has [ended](super::Hub::end). No subscriber receives the event.
    Ended,
    /// The event did not reach the broker, or the broker rejected it. It was certainly not
    /// published, so publishing it again does not duplicate it.
    Refused(BoxError),
    /// The event was sent to the broker, which has not acknowledged it. It may have been published,
    /// may be published later, or may be lost.
    ///
    /// Publishing it again can duplicate it. If duplicates matter, put a key into each event's
    /// data, so that clients can recognise them.
    Unknown(BoxError),
    /// [`publish_now`](super::Hub::publish_now) cannot publish, because the hub has a
    /// [broker](super::Hub::connect). Use [`publish`](super::Hub::publish).
    NotInProcess,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, cause) = match self {
            Self::Invalid(cause) => ("value is not an event", cause),
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
