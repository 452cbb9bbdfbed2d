use std::{error::Error, io};

use tokio::task::JoinError;

/// Does `error`, or what lies beneath it, only say that somebody left?
///
/// That is no failure of the stream: one that ends with such an error between events ends cleanly, and
/// nothing is logged above DEBUG. Amid an event it fails like any other, for at a clean end some
/// clients take half an event for a whole one. [`SseLayer::classify_with`](crate::SseLayer::classify_with) adds errors of
/// your own.
///
/// These are taken for it:
///
/// - [`io::ErrorKind`]s `BrokenPipe`, `ConnectionReset`, `ConnectionAborted` and `NotConnected`;
/// - a [`JoinError`] of a task that was cancelled;
/// - with feature `hyper`: hyper's cancelled, incomplete-message and body-write-aborted errors, and
///   HTTP/2 streams reset with `CANCEL`;
/// - with feature `tonic`: a [`Status`](tonic::Status) with code `Cancelled`.
///
/// ```
/// use std::io;
/// use tower_sse::is_cancellation;
///
/// let left = io::Error::other(io::Error::from(io::ErrorKind::BrokenPipe));
/// assert!(is_cancellation(&left));
/// assert!(!is_cancellation(&io::Error::other("disk full")));
/// ```
#[must_use]
pub fn is_cancellation(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(says_that_somebody_left)
}

fn says_that_somebody_left(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::NotConnected
        );
    }
    if let Some(error) = error.downcast_ref::<JoinError>() {
        return error.is_cancelled();
    }
    #[cfg(feature = "hyper")]
    {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_canceled()
                || error.is_incomplete_message()
                || error.is_body_write_aborted();
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::CANCEL);
        }
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return status.code() == tonic::Code::Cancelled;
    }
    false
}

/// The error and what lies beneath it. An `io::Error` hides the one that it wraps from
/// [`source`](Error::source), which skips to that one's own source.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}
