//! Calls to closures of the program, which must not take a stream down with them.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Calls a callback and returns its result, or `None` if it panics, which is logged at WARN.
pub(crate) fn catch_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(value) => Some(value),
        Err(payload) => {
            warn!("a callback of an event stream panicked");
            // Dropping it could panic again.
            mem::forget(payload);
            None
        }
    }
}
