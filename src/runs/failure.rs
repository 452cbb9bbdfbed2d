use std::{fmt, sync::Arc};

use crate::{BoxError, signals::RecordedError};

/// The maximum length of an error's text, which can contain data that a client or an upstream has
/// sent.
const MAX_TEXT: usize = 1024;

/// Why a run has failed or was interrupted: a text and, in the process of the run, the error of its
/// source.
///
/// Dropping the last clone runs code of the program, so no lock may be held.
#[derive(Clone)]
pub(crate) struct Failure(Arc<Inner>);

struct Inner {
    text: Arc<str>,
    error: Option<RecordedError>,
}

impl Failure {
    /// Creates the failure of a source that returned an error.
    pub(crate) fn of(error: BoxError) -> Self {
        let text = bounded(error.to_string().into());
        Self(Arc::new(Inner { text, error: Some(RecordedError::new(error)) }))
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.0.text
    }

    /// Returns the error of the source. Other processes have its text only.
    pub(crate) fn error(&self) -> Option<&RecordedError> {
        self.0.error.as_ref()
    }
}

impl<T: Into<Arc<str>>> From<T> for Failure {
    fn from(text: T) -> Self {
        Self(Arc::new(Inner { text: bounded(text.into()), error: None }))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.text.fmt(f)
    }
}

/// Returns an error's text, or as much of it as is kept.
fn bounded(text: Arc<str>) -> Arc<str> {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::{Failure, MAX_TEXT};

    #[test]
    fn text_of_an_error_is_cut_between_two_characters() {
        let text = "x".repeat(MAX_TEXT);
        assert_eq!(**Failure::from(text.clone()).text(), *text);
        let long = format!("{}éé", "x".repeat(MAX_TEXT - 3));
        assert_eq!(**Failure::from(long.clone()).text(), long[..MAX_TEXT - 1]);
        assert_eq!(**Failure::of(long.clone().into()).text(), long[..MAX_TEXT - 1]);
    }
}
