use std::{error::Error, fmt, iter, sync::Arc};

use super::item_error::program_error;
use crate::BoxError;

/// The error with which a recorded source has failed, as the cause of the error of each client.
///
/// It hides the error and its causes: a cancellation of the source is a failure for the clients.
#[derive(Clone)]
pub(crate) struct RecordedError(Arc<dyn Error + Send + Sync>);

impl RecordedError {
    pub(crate) fn new(error: BoxError) -> Self {
        Self(error.into())
    }

    pub(crate) fn program_error(&self) -> &(dyn Error + 'static) {
        program_error(&*self.0)
    }
}

impl fmt::Debug for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// The client's error has the text already.
impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source failed")
    }
}

impl Error for RecordedError {}

/// Returns the error for `on_error`: the program's error or, if that is the error of a recorded
/// stream, the one that its source returned.
pub(crate) fn source_error<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let error = program_error(error);
    // The source may itself be the stream of another record.
    iter::successors(Some(error), |&error| recorded_error(error)).last().unwrap_or(error)
}

fn recorded_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    error.source()?.downcast_ref().map(RecordedError::program_error)
}
