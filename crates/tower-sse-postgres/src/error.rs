use std::{error, fmt, io, sync::Arc, time::Duration};

use tokio_postgres::error::{Severity, SqlState};
use tower_sse::BoxError;
use tower_sse_broker::with_sources;

/// An error from this crate, such as a failed connection or statement.
///
/// Its [`kind`](Self::kind) names the cause. You can downcast the reason of a
/// [`PublishError::Refused`](tower_sse::hub::PublishError::Refused) to this type:
///
/// ```
/// use tower_sse::hub::PublishError;
/// use tower_sse_postgres::{Error, ErrorKind};
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
    /// Shared, because one error can refuse many events.
    cause: Arc<dyn error::Error + Send + Sync>,
    /// Whether only a part of a response arrived in time, as over a slow link.
    pub(crate) is_too_large: bool,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server has run out of disk space, memory, connections or another resource.
    OutOfResources,
    /// The server is a standby, or its transactions are read-only by default.
    ReadOnly,
    /// The server refuses the user or the password, the password is missing, the credentials
    /// couldn't be fetched, or the user lacks a permission.
    NotPermitted,
    /// There is no connection, the connection broke, the server didn't answer in time, or the
    /// process has found a loss and is reconnecting.
    Unreachable,
    /// The [schema](crate::SCHEMA) is missing, or isn't the version that this crate needs.
    NotInstalled,
    /// Any other error, such as an invalid connection string.
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
            Self::Unreachable => "unreachable",
            Self::NotInstalled => "not_installed",
            Self::Other => "other",
        }
    }

    /// Returns the kind of an error of the client library.
    fn of_client(error: &tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            let source = error::Error::source(error);
            return match source.and_then(|source| source.downcast_ref()) {
                Some(io) if reports_a_standby(io) => Self::ReadOnly,
                Some(_) => Self::Unreachable,
                // The client library's words if the server asks for one.
                None if source.is_some_and(|it| it.to_string() == "password missing") => {
                    Self::NotPermitted
                }
                None if error.is_closed() => Self::Unreachable,
                None => Self::Other,
            };
        };
        match state.code().get(..2) {
            _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            _ if *state == SqlState::INSUFFICIENT_PRIVILEGE => Self::NotPermitted,
            _ if ends_session(state) => Self::Unreachable,
            Some("28") => Self::NotPermitted,
            Some("53") => Self::OutOfResources,
            _ if *state == SqlState::PROGRAM_LIMIT_EXCEEDED => Self::OutOfResources,
            Some("08") => Self::Unreachable,
            Some("3F") => Self::NotInstalled,
            _ if [SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_TABLE].contains(state) => {
                Self::NotInstalled
            }
            _ => Self::Other,
        }
    }
}

/// Returns whether the client library has found a standby. The same kind of error is the operating
/// system's if the process may not use the server's socket.
fn reports_a_standby(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Returns whether the server shuts down, or is no longer the primary.
fn ends_session(state: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ]
    .contains(state)
}

impl Error {
    /// Creates the error of an action, such as `connect to …`, with its cause.
    pub(crate) fn new(action: &str, cause: impl Into<BoxError>) -> Self {
        let cause: BoxError = cause.into();
        let kind = cause.downcast_ref().map_or(ErrorKind::Other, ErrorKind::of_client);
        let hint = match kind {
            ErrorKind::NotInstalled => "the schema `tower_sse_postgres::SCHEMA` is not installed: ",
            _ => "",
        };
        let text = format!("failed to {action}: {hint}{}", with_sources(&*cause));
        Self { kind, text, cause: Arc::from(cause), is_too_large: false }
    }

    /// Creates an error of this kind, whose cause is a text of this crate.
    pub(crate) fn with_kind(action: &str, kind: ErrorKind, cause: impl Into<BoxError>) -> Self {
        Self { kind, ..Self::new(action, cause) }
    }

    /// Creates the error of a late response. `has_begun` says whether some of its bytes arrived.
    pub(crate) fn late(action: &str, limit: Duration, has_begun: bool) -> Self {
        let whole = if has_begun { "whole " } else { "" };
        let reason = format!("no {whole}response within {limit:?}");
        let error = Self::with_kind(action, ErrorKind::Unreachable, reason);
        Self { is_too_large: has_begun, ..error }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the code of the server's response, if the server has responded.
    fn state(&self) -> Option<&SqlState> {
        self.cause.downcast_ref().and_then(tokio_postgres::Error::code)
    }

    /// Returns whether the server has certainly rolled the statement back. The errors that end a
    /// connection do not say: the server can have committed before, and so can one behind a pooler.
    pub(crate) fn is_rolled_back(&self) -> bool {
        let error: Option<&tokio_postgres::Error> = self.cause.downcast_ref();
        error.and_then(tokio_postgres::Error::as_db_error).is_some_and(|error| {
            error.parsed_severity() == Some(Severity::Error)
                && !error.code().code().starts_with("08")
                && *error.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        })
    }

    /// Returns whether a limit of the server was exceeded, such as its queue of notifications.
    pub(crate) fn exceeds_limit(&self) -> bool {
        self.state() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED)
    }

    /// Returns whether the connection is of no further use.
    pub(crate) fn ends_session(&self) -> bool {
        self.state().is_none_or(ends_session)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for Error {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn forbidden_socket_is_no_standby() {
        // EACCES, on each Unix.
        let forbidden = io::Error::from_raw_os_error(13);
        assert_eq!(forbidden.kind(), io::ErrorKind::PermissionDenied);
        assert!(!reports_a_standby(&forbidden));
        assert!(reports_a_standby(&io::Error::from(io::ErrorKind::PermissionDenied)));
    }
}
