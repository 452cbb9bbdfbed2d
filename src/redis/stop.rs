use super::Error;
use crate::hub::Closed;

/// The reason reading stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The hub is closed or dropped.
    Closed,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}
