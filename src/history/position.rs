use std::fmt;

use super::epoch::Epoch;
use crate::event::EventId;

/// A position in the order of publication: an epoch and a sequence number. Its text, such as
/// `4fzo8gk0o2yl-1729`, is the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: Epoch,
    pub(crate) sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl From<Position> for EventId {
    fn from(position: Position) -> Self {
        // The text consists of letters, digits and a hyphen.
        Self::from_one_line(position.to_string())
    }
}
