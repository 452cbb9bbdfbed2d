use std::{error, fmt};

use crate::BoxError;

/// The reason why Redis could not be reached, or did not answer as a stream has to be served.
///
/// Its [source](error::Error::source) is the error of the Redis client, as text for a log: its type
/// is not part of the interface.
#[derive(Debug)]
pub struct Error {
    during: &'static str,
    source: BoxError,
}

impl Error {
    pub(super) fn new(during: &'static str, source: impl Into<BoxError>) -> Self {
        Self { during, source: source.into() }
    }

    /// Returns the error of the Redis client, unless it is one of ours.
    pub(super) fn client_error(&self) -> Option<&::redis::RedisError> {
        self.source.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.during)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}
