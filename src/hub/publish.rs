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

    /// Returns the number of subscriptions that the topic had at the time of publication.
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
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid(_) => "value is not an event",
            Self::NoData => "event has no data",
            Self::HasId => "event has an id, which only the hub may assign",
            Self::Closed => "hub is closed",
        })
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(&**error),
            Self::NoData | Self::HasId | Self::Closed => None,
        }
    }
}
