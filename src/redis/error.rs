use std::{error, fmt};

use crate::BoxError;

/// An error from the Redis broker: an invalid URL, a failed connection, or a failed command.
///
/// [`source`](error::Error::source) returns the cause, for logs. Do not downcast it: its type may
/// change in any release.
#[derive(Debug)]
pub struct Error {
    /// What failed, as an infinitive.
    action: &'static str,
    source: BoxError,
}

impl Error {
    pub(super) fn new(action: &'static str, source: impl Into<BoxError>) -> Self {
        Self { action, source: source.into() }
    }

    /// Returns the source, if it is an error of the Redis client and not of this crate.
    pub(super) fn client_error(&self) -> Option<&::redis::RedisError> {
        self.source.downcast_ref()
    }

    /// Returns what Redis reported, without the code of the error.
    pub(super) fn client_detail(&self) -> Option<&str> {
        self.client_error()?.detail()
    }

    pub(super) fn is_timeout(&self) -> bool {
        self.client_error().is_some_and(::redis::RedisError::is_timeout)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.action)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}
