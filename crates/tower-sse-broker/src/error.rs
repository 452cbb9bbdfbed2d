use std::{error, fmt, sync::Arc};

use tower_sse::BoxError;

use crate::tasks::with_causes;

/// An error of a store's crate, such as an invalid address, a failed connection or a failed
/// statement.
///
/// All stores' crates have this type, so a program with two stores needs one `match` on the
/// [`kind`](Self::kind). You can downcast the reason of a
/// [`PublishError::Refused`](tower_sse::hub::PublishError::Refused) to this type:
///
/// ```
/// # use tower_sse_broker as tower_sse_redis;
/// use tower_sse::hub::PublishError;
/// use tower_sse_redis::{Error, ErrorKind};
///
/// fn is_full(error: &PublishError) -> bool {
///     let PublishError::Refused(reason) = error else { return false };
///     reason.downcast_ref().map(Error::kind) == Some(ErrorKind::OutOfResources)
/// }
/// # assert!(!is_full(&PublishError::Closed));
/// ```
///
/// The text names the action that failed, and includes the causes, so
/// [`source`](error::Error::source) returns `None`.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    /// Shared, because a batch that fails clones its error for each of its events.
    cause: Arc<dyn error::Error + Send + Sync>,
}

tower_sse::named_enum! {
    /// The kind of an [`Error`]. The stores' pages on operation say what to do about each kind.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum ErrorKind {
        /// The disk is full, no memory is left, or another limit is reached, such as the number of
        /// connections.
        OutOfResources = "out_of_resources",
        /// The server or the file can't be written to. The server may be a replica, or have too few
        /// replicas.
        ReadOnly = "read_only",
        /// The credentials are wrong, have expired or couldn't be fetched, or a permission is
        /// missing. SQLite also reports this if the file can't be opened, for example because its
        /// directory doesn't exist.
        NotPermitted = "not_permitted",
        /// There is no connection, the connection broke, the server or the disk didn't respond in
        /// time, or the process has found a loss and is reconnecting.
        Unreachable = "unreachable",
        /// Redis has started but is still loading its data, is a replica that has lost its primary
        /// and refuses reads, or its cluster is down, for example during a failover.
        Loading = "loading",
        /// Another connection has kept the SQLite file locked, or still uses a `-wal` or `-shm`
        /// file that was removed.
        Locked = "locked",
        /// The SQLite file is corrupted, or isn't a database.
        Corrupted = "corrupted",
        /// The store's tables are missing, or differ from those that this version of the crate
        /// needs.
        WrongSchema = "wrong_schema",
        /// The event exceeds a size limit of the store, so publishing it again fails too.
        TooLarge = "too_large",
        /// Any other error, such as an invalid address.
        Other = "other",
    }
}

impl Error {
    /// Creates the error for a failed action, such as `connect to Redis`, with its cause.
    pub fn new(action: impl fmt::Display, kind: ErrorKind, cause: impl Into<BoxError>) -> Self {
        let cause: BoxError = cause.into();
        let text = format!("failed to {action}: {}", with_causes(&*cause));
        Self { kind, text, cause: Arc::from(cause) }
    }

    /// Returns the error's kind.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the cause if it has this type. Hidden, because the type can be a client library's,
    /// and programs must not depend on that library's version.
    #[doc(hidden)]
    #[must_use]
    pub fn cause<E: error::Error + 'static>(&self) -> Option<&E> {
        self.cause.downcast_ref()
    }
}

tower_sse::error_text!(Error, |it| "{}", it.text);
