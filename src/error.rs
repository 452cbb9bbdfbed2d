use std::{error::Error, fmt, io, iter, sync::Arc};

/// A boxed error.
///
/// The body of an event stream fails with an error of this type. The errors of a stream's items,
/// and of a body inside the layer, must convert into it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Returns the error and its causes, including the error that an `io::Error` wraps, which
/// [`source`](Error::source) skips.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

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

fn inside_wrapper<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let is_wrapper = error.is::<ItemError>();
    #[cfg(feature = "axum")]
    let is_wrapper = is_wrapper || error.is::<axum_core::Error>();
    error.source().filter(|_| is_wrapper)
}
