//! Calls of the program's callbacks, whose panics must not end a stream.

use std::{
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// Calls a callback and returns its result, or logs a warning and returns `None` if it panics.
pub(crate) fn catch_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    let value = without_panic(callback);
    if value.is_none() {
        // The panic may be that of a subscriber.
        _ = without_panic(|| {
            warn!("a callback of an event stream panicked");
        });
    }
    value
}

/// Calls a callback and returns its result, or `None` if it panics.
pub fn without_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    // Dropping the payload could panic again.
    catch_unwind(AssertUnwindSafe(callback)).map_err(mem::forget).ok()
}

/// Runs a future, and returns its output, or `None` if it panics.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match without_panic(|| future.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}
