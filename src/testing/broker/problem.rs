use std::{error::Error, fmt};

/// The reason a scene failed, or was skipped.
#[derive(Debug)]
pub struct Problem {
    text: String,
    is_skipped: bool,
}

impl Problem {
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), is_skipped: false }
    }

    /// Creates a problem from an error and its sources.
    pub(super) fn caused_by(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let mut text = what.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            text += &format!(": {error}");
            next = error.source();
        }
        Self::new(text)
    }

    /// Creates the problem of a world that cannot cause the scene's fault.
    pub(super) fn skipped(fault: &'static str) -> Self {
        Self { text: format!("the world has no `{fault}`"), is_skipped: true }
    }

    /// Returns whether the scene was skipped, because its [`World`](super::World) cannot cause the
    /// fault.
    #[must_use]
    pub const fn is_skipped(&self) -> bool {
        self.is_skipped
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Problem {}

/// Returns a [`Problem`] with this text from the scene unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::testing::broker::Problem::new(format!($($text)+)));
        }
    };
}

pub(super) use ensure;
