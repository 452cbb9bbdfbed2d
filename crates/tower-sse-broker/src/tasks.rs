//! What brokers and stores share. Not for programs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{future::poll_fn, mem, pin::pin, task::Poll};

/// Locks a mutex and ignores poisoning, because a panic never leaves the crate's own data half
/// changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls a function and returns its result, or `None` if it panics.
pub fn without_panic<T>(function: impl FnOnce() -> T) -> Option<T> {
    // Dropping the payload could panic again.
    catch_unwind(AssertUnwindSafe(function)).map_err(mem::forget).ok()
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
