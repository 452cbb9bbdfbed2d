use std::{error, fmt};

use rusqlite::ErrorCode;

/// An error from this crate, such as a file that can't be opened or a statement that failed.
///
/// Its [`kind`](Self::kind) names the cause. You can downcast the reason of a
/// [`PublishError::Refused`](tower_sse::hub::PublishError::Refused) to this type:
///
/// ```
/// use tower_sse::hub::PublishError;
/// use tower_sse_sqlite::{Error, ErrorKind};
///
/// fn is_full(error: &PublishError) -> bool {
///     let PublishError::Refused(reason) = error else { return false };
///     reason.downcast_ref().map(Error::kind) == Some(ErrorKind::OutOfResources)
/// }
/// # assert!(!is_full(&PublishError::Closed));
/// ```
///
/// The text includes the causes, so [`source`](error::Error::source) returns `None`.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk is full, no memory is left, or the file has reached its maximum size.
    OutOfResources,
    /// The file is read-only.
    ReadOnly,
    /// The file can't be opened, for example because the process lacks a permission or the
    /// directory doesn't exist.
    NotPermitted,
    /// Another connection has kept the file locked, or still uses its `-wal` or `-shm` after that
    /// was removed.
    Locked,
    /// The file is corrupted, or isn't an SQLite database.
    Corrupted,
    /// The table differs from the one that this version of the crate creates, or the trigger
    /// `<table>_id` belongs to another table, for example one that you renamed.
    WrongTable,
    /// The disk failed or didn't respond in time, a file was removed or replaced, the process is
    /// reopening the file because it has noticed that events were lost, or writing earlier events
    /// took too long.
    Unreachable,
    /// Any other error, such as an event that exceeds a limit.
    Other,
}

impl ErrorKind {
    /// Returns the name of the kind in snake case, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfResources => "out_of_resources",
            Self::ReadOnly => "read_only",
            Self::NotPermitted => "not_permitted",
            Self::Locked => "locked",
            Self::Corrupted => "corrupted",
            Self::WrongTable => "wrong_table",
            Self::Unreachable => "unreachable",
            Self::Other => "other",
        }
    }

    fn of_sqlite(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory) => Self::OutOfResources,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::NotPermitted,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupted,
            Some(ErrorCode::SystemIoFailure) => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, reason: impl fmt::Display) -> Self {
        Self { kind, text: format!("failed to use SQLite: {reason}") }
    }

    /// Creates the error of a statement.
    pub(crate) fn of_sqlite(error: rusqlite::Error) -> Self {
        Self::new(ErrorKind::of_sqlite(&error), error)
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for Error {}
