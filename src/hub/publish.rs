use std::{error::Error, fmt};

use crate::{BoxError, event::EventId, history::Position};

/// The id and the audience of a published event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) position: Position,
    pub(super) subscribers: usize,
}

impl Receipt {
    /// Returns the id of the event, which a client that saw it last sends as `Last-Event-ID`.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.position.into()
    }

    /// Returns the number of subscriptions that the topic had in this process at the time of
    /// publication.
    #[must_use]
    pub const fn subscribers(&self) -> usize {
        self.subscribers
    }
}

/// The reason why an event was not published.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The value did not become an event, for example because it does not serialise.
    Invalid(BoxError),
    /// The event has no data, so no client would dispatch it.
    NoData,
    /// The event has an id. The hub assigns the ids, by which clients resume.
    HasId,
    /// The hub is [closed](super::Hub::close).
    Closed,
    /// The broker did not accept the event. It is certainly not published, so publishing it again
    /// does not duplicate it.
    Refused(BoxError),
    /// The broker was sent the event and has not answered. It may be published, now or later, or
    /// not at all.
    ///
    /// Publishing it again can duplicate it. If that matters, put a key into the event by which
    /// clients recognise a duplicate.
    Unknown(BoxError),
    /// The hub has a [broker](super::Hub::connect), through which
    /// [`publish_now`](super::Hub::publish_now) cannot publish. Use
    /// [`publish`](super::Hub::publish).
    NotInProcess,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid(_) => "value is not an event",
            Self::NoData => "event has no data",
            Self::HasId => "event has an id, which only the hub may assign",
            Self::Closed => "hub is closed",
            Self::Refused(_) => "broker refused the event",
            Self::Unknown(_) => "broker did not acknowledge the event",
            Self::NotInProcess => "hub has a broker, which only `publish` waits for",
        })
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) | Self::Refused(error) | Self::Unknown(error) => Some(&**error),
            Self::NoData | Self::HasId | Self::Closed | Self::NotInProcess => None,
        }
    }
}
