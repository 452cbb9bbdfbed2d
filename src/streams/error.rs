use std::{error::Error, fmt};

use crate::BoxError;

/// The reason other processes may not close the streams of a subject. The streams of this process
/// are closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// The hub is closed, so no other process has received the close.
    Closed,
    /// No other process has received the close.
    Refused(BoxError),
    /// The broker has not acknowledged the close, which other processes may have received or may
    /// receive later.
    Unknown(BoxError),
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "hub is closed, so other processes did not receive the close",
            Self::Refused(_) => "other processes did not receive the close",
            Self::Unknown(_) => "other processes may not have received the close",
        })
    }
}

impl Error for CloseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed => None,
            Self::Refused(error) | Self::Unknown(error) => Some(&**error),
        }
    }
}
