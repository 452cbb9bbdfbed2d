use std::{error::Error, io, iter};

/// The boxed error of an event stream's body. The error types of your streams, and of bodies inside
/// the layer, must convert into it.
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

/// Returns the texts of an error and of its causes, as in `a: b: c`.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        // Some errors include the text of their cause.
        if !text.contains(&cause) {
            text.extend([": ", &cause]);
        }
    }
    text
}

/// Implements `Display` with the arguments of `format!`, and `Error` without a source.
#[doc(hidden)]
#[macro_export]
macro_rules! error_text {
    ($type:ty, |$error:pat_param| $($text:tt)+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $error = self;
                write!(f, $($text)+)
            }
        }

        impl std::error::Error for $type {}
    };
}
