//! Calls of the program's code that catch its panics, and `Debug` implementations without fields.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, future::poll_fn, mem, ops::Deref, pin::pin, task::Poll};

use http::{Request, request::Parts};

/// Calls a callback and returns its result. If the callback panics, logs a warning and returns
/// `None`.
pub(crate) fn catch_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    let value = without_panic(callback);
    if value.is_none() {
        // A `tracing` subscriber that panicked in the callback may panic here too.
        _ = without_panic(|| {
            warn!("a callback of an event stream panicked");
        });
    }
    value
}

/// Calls `callback` with the head of `request`. Returns the callback's result, or `None` if the
/// callback panics.
#[cold]
pub(crate) fn with_head<B, T>(
    request: &mut Request<B>,
    callback: impl FnOnce(&Parts) -> T,
) -> Option<T> {
    // The callback gets only the parts, so its type doesn't depend on the body's type.
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.version = request.version();
    mem::swap(&mut parts.uri, request.uri_mut());
    mem::swap(&mut parts.headers, request.headers_mut());
    mem::swap(&mut parts.extensions, request.extensions_mut());
    let result = catch_panic(|| callback(&parts));
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    *request.extensions_mut() = parts.extensions;
    result
}

/// Calls a function and returns its result, or `None` if it panics.
pub fn without_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    // Dropping the payload could panic again.
    catch_unwind(AssertUnwindSafe(callback)).map_err(mem::forget).ok()
}

/// Runs a future and returns its output, or `None` if it panics.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match without_panic(|| future.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// A value that `Debug` does not show, such as a closure.
#[derive(Clone)]
pub(crate) struct Opaque<T>(pub(crate) T);

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// The methods for the inner service that tower-http's services have.
macro_rules! inner_service_accessors {
    () => {
        /// Returns a reference to the inner service.
        pub const fn get_ref(&self) -> &S {
            &self.inner
        }

        /// Returns a mutable reference to the inner service.
        pub const fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// Returns the inner service and drops the layer's part.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}

/// Implements `Debug` for a type, without its fields.
#[doc(hidden)]
#[macro_export]
macro_rules! opaque_debug {
    ($type:ident $(<$($parameter:ident $(: $(?$unsized:ident)? $($bound:ident)?)?),+>)?) => {
        impl$(<$($parameter $(: $(?$unsized)? $($bound)?)?),+>)? std::fmt::Debug
            for $type$(<$($parameter),+>)?
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}
