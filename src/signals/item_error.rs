use std::{error::Error, fmt, iter};

use crate::{BoxError, error::causes};

/// A mark around an error that an item of the program's stream returned. A host such as axum or
/// tonic wraps the errors of bodies, and the mark shows which of the causes is the program's error.
#[derive(Debug)]
pub(crate) struct ItemError(BoxError);

impl ItemError {
    pub(crate) fn mark(error: impl Into<BoxError>) -> BoxError {
        Box::new(Self(error.into()))
    }

    /// Removes the mark of an error that no host has wrapped.
    pub(crate) fn unmark(error: BoxError) -> BoxError {
        error.downcast::<Self>().map_or_else(|error| error, |marked| marked.0)
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ItemError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Returns the error that the program's stream or body returned, without those in which hosts have
/// wrapped it.
pub(crate) fn program_error<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    // The first wrapper may itself be in one whose type this crate does not know, such as tonic's.
    let wrapped = causes(error).find_map(inside_wrapper);
    iter::successors(wrapped, |&error| inside_wrapper(error)).last().unwrap_or(error)
}

fn inside_wrapper<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let is_wrapper = error.is::<ItemError>();
    #[cfg(feature = "axum")]
    let is_wrapper = is_wrapper || error.is::<axum_core::Error>();
    error.source().filter(|_| is_wrapper)
}
