use std::{error::Error, fmt, sync::Arc};

use crate::error::causes;

/// The cause of a source's error after which the stream ends cleanly, without a terminator and
/// without `on_error`: the program has stopped a recorded stream, so clients should not reconnect.
#[derive(Debug)]
pub(crate) struct EndWithoutTerminator;

impl EndWithoutTerminator {
    /// Returns whether this is a cause of `error`.
    pub(crate) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        causes(error).any(<dyn Error>::is::<Self>)
    }
}

impl fmt::Display for EndWithoutTerminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream was stopped")
    }
}

impl Error for EndWithoutTerminator {}

/// A callback in a response's extensions, which a layer calls once it has refused the stream and
/// dropped its body. The source of a recorded stream does not learn it from the drop.
#[derive(Clone)]
pub(crate) struct OnRefusal(Arc<dyn Fn() + Send + Sync>);

impl OnRefusal {
    pub(crate) fn new(callback: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub(crate) fn call(&self) {
        (self.0)();
    }
}
