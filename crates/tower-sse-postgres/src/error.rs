use std::{error, io, time::Duration};

use tokio_postgres::error::{Severity, SqlState};
use tower_sse::BoxError;

use crate::{Error, ErrorKind};

/// The cause of an error when no complete response has arrived in time.
#[derive(Debug)]
struct Late {
    limit: Duration,
    /// Whether bytes have arrived, which usually means a slow link.
    has_begun: bool,
}

tower_sse::error_text!(
    Late,
    |it| "no {}response within {:?}",
    if it.has_begun { "whole " } else { "" },
    it.limit,
);

/// Creates the error for an action that failed, such as `connect to …`, with its cause.
pub(crate) fn failed(action: &str, cause: impl Into<BoxError>) -> Error {
    let cause: BoxError = cause.into();
    let kind = cause.downcast_ref().map_or(ErrorKind::Other, kind_of);
    let hint = match kind {
        ErrorKind::WrongSchema => ": the schema `tower_sse_postgres::SCHEMA` is not installed",
        _ => "",
    };
    Error::new(format_args!("{action}{hint}"), kind, cause)
}

/// Creates the error for a late response. `has_begun` says whether bytes arrived meanwhile.
pub(crate) fn late(action: &str, limit: Duration, has_begun: bool) -> Error {
    Error::new(action, ErrorKind::Unreachable, Late { limit, has_begun })
}

/// Returns whether bytes arrived in time, but no complete response.
pub(crate) fn is_too_large(error: &Error) -> bool {
    error.cause().is_some_and(|late: &Late| late.has_begun)
}

/// Returns the code of the error that the server sent, if it sent one.
fn state(error: &Error) -> Option<&SqlState> {
    error.cause().and_then(tokio_postgres::Error::code)
}

/// Returns whether the server has certainly rolled the statement back. This is unknown after an
/// error that ends the connection: the server may have committed first.
pub(crate) fn is_rolled_back(error: &Error) -> bool {
    let error = error.cause().and_then(tokio_postgres::Error::as_db_error);
    error.is_some_and(|error| {
        error.parsed_severity() == Some(Severity::Error)
            && !error.code().code().starts_with("08")
            && *error.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
    })
}

/// Returns whether a limit of the server was exceeded, such as that of the notification queue.
pub(crate) fn exceeds_limit(error: &Error) -> bool {
    state(error) == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED)
}

/// Returns the error that tells most about why no server of a list can be used. Each standby refuses
/// hubs, and a server that is down tells less than one that answers.
pub(crate) fn most_telling(last: Error, others: Vec<Error>) -> Error {
    let tells = |error: &Error| match error.kind() {
        ErrorKind::ReadOnly => 0,
        ErrorKind::Unreachable => 1,
        ErrorKind::NotPermitted => 3,
        _ => 2,
    };
    others
        .into_iter()
        .fold(last, |most, other| if tells(&other) > tells(&most) { other } else { most })
}

pub(crate) fn ends_session(error: &Error) -> bool {
    state(error).is_none_or(is_leaving)
}

fn kind_of(error: &tokio_postgres::Error) -> ErrorKind {
    let Some(state) = error.code() else {
        let source = error::Error::source(error);
        return match source.and_then(|source| source.downcast_ref()) {
            Some(io) if reports_a_standby(io) => ErrorKind::ReadOnly,
            Some(_) => ErrorKind::Unreachable,
            // The client library's error text if the server asks for a password and none is set.
            None if source.is_some_and(|it| it.to_string() == "password missing") => {
                ErrorKind::NotPermitted
            }
            None if error.is_closed() => ErrorKind::Unreachable,
            None => ErrorKind::Other,
        };
    };
    match state.code().get(..2) {
        _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => ErrorKind::ReadOnly,
        _ if *state == SqlState::INSUFFICIENT_PRIVILEGE => ErrorKind::NotPermitted,
        _ if is_leaving(state) => ErrorKind::Unreachable,
        Some("28") => ErrorKind::NotPermitted,
        Some("53") => ErrorKind::OutOfResources,
        _ if *state == SqlState::PROGRAM_LIMIT_EXCEEDED => ErrorKind::OutOfResources,
        Some("08") => ErrorKind::Unreachable,
        Some("3F") => ErrorKind::WrongSchema,
        _ if [SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_TABLE].contains(state) => {
            ErrorKind::WrongSchema
        }
        _ => ErrorKind::Other,
    }
}

/// Returns whether the client library has found a standby. If the process may not use the server's
/// socket, the error has the same kind, but comes from the operating system and has its code.
fn reports_a_standby(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Returns whether this code means that the server is starting or shutting down, or refuses writes.
fn is_leaving(state: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ]
    .contains(state)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn forbidden_socket_is_no_standby() {
        // `EACCES` on every Unix.
        let forbidden = io::Error::from_raw_os_error(13);
        assert_eq!(forbidden.kind(), io::ErrorKind::PermissionDenied);
        assert!(!reports_a_standby(&forbidden));
        assert!(reports_a_standby(&io::Error::from(io::ErrorKind::PermissionDenied)));
    }
}
