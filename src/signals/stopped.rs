use std::{error::Error, fmt};

use crate::error::causes;

/// The cause of the error with which a source stops its stream for good: the layer ends the stream
/// cleanly, without a terminator and without `on_error`, so that its client does not reconnect.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Stopped {
    /// Returns whether this is a cause of `error`.
    pub(crate) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        causes(error).any(<dyn Error>::is::<Self>)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream was stopped")
    }
}

impl Error for Stopped {}
