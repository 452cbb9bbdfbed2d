//! Calls of the program's callbacks, whose panics must not end a stream.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Calls a callback and returns its result, or logs a warning and returns `None` if it panics.
pub(crate) fn catch_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(value) => Some(value),
        Err(payload) => {
            warn!("a callback of an event stream panicked");
            // Dropping the payload could panic again.
            mem::forget(payload);
            None
        }
    }
}
