use std::{error::Error, sync::Arc};

use tokio::task::JoinError;

use super::{ResolvedOptions, closures::CancellationIf};
use crate::{
    BoxError,
    callback::{Opaque, catch_panic},
    error::causes,
    signals::program_error,
};

impl ResolvedOptions {
    /// Returns these options, extended so that errors for which `predicate` returns `true` are
    /// cancellations too.
    pub(crate) fn with_cancellation_if(&self, predicate: CancellationIf) -> Self {
        let predicate = match self.cancellation_if.clone() {
            None => predicate,
            Some(earlier) => Opaque(Arc::new(move |error: &(dyn Error + 'static)| {
                catch_panic(|| earlier(error)).unwrap_or(false) || predicate(error)
            }) as Arc<_>),
        };
        let mut options = self.clone();
        options.cancellation_if = Some(predicate);
        options
    }

    /// Decides whether an error of the source is a cancellation: the program itself ended the
    /// source.
    ///
    /// By default, only the error of a cancelled task is one, because only the program cancels
    /// tasks. A reset connection is a failure: an upstream broke off, and after a clean end the
    /// client would mistake its partial answer for the complete one. A client that disconnects
    /// causes no error of the source, because the server drops the body.
    pub(crate) fn is_cancellation(&self, error: &BoxError) -> bool {
        // Not of a host's own errors: tonic makes a `Cancelled` status of an upstream's reset.
        let error = program_error(&**error);
        is_cancelled_task(error)
            || self.cancellation_if.as_ref().is_some_and(|predicate| {
                causes(error).any(|cause| catch_panic(|| predicate(cause)).unwrap_or_default())
            })
    }
}

/// Returns whether `error`, or one of its causes, is the [`JoinError`] of a cancelled task.
fn is_cancelled_task(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref::<JoinError>().is_some_and(JoinError::is_cancelled))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::is_cancelled_task;
    use crate::signals::ItemError;

    #[tokio::test]
    async fn cancelled_task_is_found_among_the_causes() {
        let cancelled = async || {
            let task = tokio::spawn(std::future::pending::<()>());
            task.abort();
            task.await.unwrap_err()
        };
        assert!(is_cancelled_task(&cancelled().await));
        assert!(is_cancelled_task(&io::Error::other(cancelled().await)));
        let nested = io::Error::other(ItemError::mark(cancelled().await));
        assert!(is_cancelled_task(&*ItemError::mark(nested)));
    }

    #[tokio::test]
    async fn no_other_error_is_a_cancellation() {
        let panicked = tokio::spawn(async { panic!("not a cancellation") }).await.unwrap_err();
        assert!(!is_cancelled_task(&panicked));
        for kind in [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::NotConnected,
            io::ErrorKind::TimedOut,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert!(!is_cancelled_task(&io::Error::from(kind)));
            assert!(!is_cancelled_task(&*ItemError::mark(io::Error::from(kind))));
        }
    }
}
