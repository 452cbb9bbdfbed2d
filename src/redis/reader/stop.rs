use crate::{hub::Closed, redis::Error};

/// The reason reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
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
