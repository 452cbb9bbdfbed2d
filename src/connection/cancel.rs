use std::{error::Error, io, iter};

use tokio::task::JoinError;

/// Returns whether `error`, or one of its causes, is the [`JoinError`] of a cancelled task.
///
/// This is the only error that the layer takes for a cancellation by itself: a task is only
/// cancelled by the program. A reset connection is not, although it may look like one. It says that
/// an upstream broke off, and half of its answer would look complete. That our own client left is
/// never an error of the source: the server drops the body.
pub(crate) fn is_cancelled_task(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref::<JoinError>().is_some_and(JoinError::is_cancelled))
}

/// The error and its causes. An `io::Error` skips the error that it wraps in its
/// [`source`](Error::source).
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
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
    async fn a_cancelled_task_is_found_beneath_other_errors() {
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
    async fn nothing_else_is_a_cancellation() {
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
