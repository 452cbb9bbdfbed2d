use std::{error::Error, io, iter};

use tokio::task::JoinError;

/// Returns whether `error`, or one of its causes, is the [`JoinError`] of a cancelled task.
///
/// By default, the layer treats no other error as a cancellation: only the program cancels a task.
/// A reset connection is a failure, because it means that an upstream broke off, and a clean end
/// would make half of an answer look complete. A client that disconnects is never an error of the
/// source, as the server then drops the body.
pub(crate) fn is_cancelled_task(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref::<JoinError>().is_some_and(JoinError::is_cancelled))
}

/// Returns the error and its causes, including the error that an `io::Error` wraps, which
/// [`source`](Error::source) skips.
pub(super) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt, io};

    use super::is_cancelled_task;

    #[derive(Debug)]
    struct Outer(Box<dyn Error + Send + Sync>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[tokio::test]
    async fn a_cancelled_task_is_found_among_the_causes() {
        let cancelled = async || {
            let task = tokio::spawn(std::future::pending::<()>());
            task.abort();
            task.await.unwrap_err()
        };
        assert!(is_cancelled_task(&cancelled().await));
        assert!(is_cancelled_task(&io::Error::other(cancelled().await)));
        let nested = io::Error::other(Outer(cancelled().await.into()));
        assert!(is_cancelled_task(&Outer(nested.into())));
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
            assert!(!is_cancelled_task(&Outer(io::Error::from(kind).into())));
        }
    }
}
