use std::{error::Error, fmt};

use super::position::Position;
use crate::{BoxError, event::EventId};

/// What became of an event that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) position: Position,
    pub(super) subscribers: usize,
}

impl Receipt {
    /// The id that the event was given: what a client sends that has seen it last.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.position.into()
    }

    /// How many subscriptions the topic had at that moment.
    #[must_use]
    pub const fn subscribers(&self) -> usize {
        self.subscribers
    }
}

/// Why an event was not published.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// What was to be published did not become an event, such as a value that does not serialise.
    Invalid(BoxError),
    /// It has no data, so no client would dispatch it.
    NoData,
    /// It has an id of its own: the hub gives the ids, by which clients resume.
    HasId,
    /// The hub was [closed](super::Hub::close).
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid(_) => "the event is invalid",
            Self::NoData => "an event without data cannot be published",
            Self::HasId => "an event with an id of its own cannot be published",
            Self::Closed => "the hub is closed",
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
