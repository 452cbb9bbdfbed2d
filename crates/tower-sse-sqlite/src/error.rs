use rusqlite::{Error as Failed, ErrorCode, ffi};
use tower_sse::BoxError;

use crate::{Error, ErrorKind};

pub(crate) fn failed(kind: ErrorKind, reason: impl Into<BoxError>) -> Error {
    Error::new("use SQLite", kind, reason)
}

/// Creates the error for a statement that failed.
#[allow(clippy::needless_pass_by_value)] // For `map_err`.
pub(crate) fn of_sqlite(error: Failed) -> Error {
    failed(kind_of(&error), error.to_string())
}

fn kind_of(error: &Failed) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory) => ErrorKind::OutOfResources,
        Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => ErrorKind::NotPermitted,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupted,
        Some(ErrorCode::SystemIoFailure) => ErrorKind::Unreachable,
        Some(ErrorCode::TooBig) => ErrorKind::TooLarge,
        _ if exceeds_limit(error) => ErrorKind::TooLarge,
        _ => ErrorKind::Other,
    }
}

/// Returns whether an `insert` fails only for its row: the row breaks a limit, or a trigger refuses
/// it or fails for it. An expression that fails has the code `Unknown`.
pub(crate) fn is_of_row(error: &Failed) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch, Unknown};
    let code = error.sqlite_error_code();
    matches!(code, Some(ConstraintViolation | TooBig | TypeMismatch | Unknown))
}

/// Returns whether the error says that a row breaks a size limit in the [schema](crate::SCHEMA).
fn exceeds_limit(error: &Failed) -> bool {
    let Failed::SqliteFailure(code, Some(text)) = error else { return false };
    code.extended_code == ffi::SQLITE_CONSTRAINT_CHECK && text.contains(" has at most ")
}
