use std::{error, fmt, sync::Arc};

use redis::RedisError;
use tower_sse::BoxError;
use tower_sse_broker::with_sources;

/// An error from this crate: an invalid URL, a failed connection, or a failed command.
///
/// The page [`running`](crate::running#when-publishing-is-refused) says what to do for each
/// [`kind`](Self::kind). You can downcast the reason of a
/// [`PublishError::Refused`](tower_sse::hub::PublishError::Refused) to this type:
///
/// ```
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
/// The text includes the causes, so [`source`](error::Error::source) returns `None`.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    /// `None` if nothing was sent, because there was no session. The text says why. Shared, because
    /// one error can refuse many events.
    cause: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Redis has reached its `maxmemory`, and can't evict keys, or it has reached its `maxclients`.
    /// A hub that can't connect because of `maxclients` gets `NotPermitted` if it has a password,
    /// and otherwise `Unreachable`, because the Redis client doesn't report why.
    OutOfResources,
    /// Redis is a replica, has too few replicas, or can't write to its disk.
    ReadOnly,
    /// The credentials are wrong, have expired or couldn't be fetched, or the user lacks permission
    /// to run a command.
    NotPermitted,
    /// There is no connection, the connection broke, or Redis didn't answer in time.
    Unreachable,
    /// Redis has started but is still loading its data, or is a replica that has lost its primary
    /// and refuses reads.
    Loading,
    /// Any other error, such as an invalid URL, or a key whose value has the wrong type.
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
            Self::Loading => "loading",
            Self::Other => "other",
        }
    }

    /// Returns the kind of an error of the Redis client.
    fn of_client(error: &RedisError) -> Self {
        match error.code() {
            Some("OOM") => Self::OutOfResources,
            Some("ERR") if begins_with(error, &["max number of clients"]) => Self::OutOfResources,
            Some("READONLY" | "NOREPLICAS" | "MISCONF") => Self::ReadOnly,
            Some("NOPERM" | "NOAUTH" | "WRONGPASS") => Self::NotPermitted,
            Some("LOADING" | "MASTERDOWN") => Self::Loading,
            // The code of a script's error does not say so.
            Some("ERR") if begins_with(error, &NO_PERMISSION) => Self::NotPermitted,
            None if error.kind() == redis::ErrorKind::AuthenticationFailed => Self::NotPermitted,
            None if error.is_io_error() => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// How a script's error begins if the user lacks a permission: in Redis 7.0, and in newer servers.
const NO_PERMISSION: [&str; 2] =
    ["The user executing the script can't run", "ACL failure in script"];

fn begins_with(error: &RedisError, texts: &[&str]) -> bool {
    error.detail().is_some_and(|detail| texts.iter().any(|text| detail.starts_with(text)))
}

impl Error {
    /// Creates the error of an action, such as `connect to …`, with its cause.
    pub(crate) fn new(action: &'static str, cause: impl Into<BoxError>) -> Self {
        let cause: BoxError = cause.into();
        let kind = cause.downcast_ref().map_or(ErrorKind::Other, ErrorKind::of_client);
        let text = format!("failed to {action}: {}", with_sources(&*cause));
        Self { kind, text, cause: Some(Arc::from(cause)) }
    }

    /// Creates an error of this kind, whose cause is a text of this crate.
    pub(crate) fn with_kind(action: &'static str, kind: ErrorKind, cause: String) -> Self {
        Self { kind, ..Self::new(action, cause) }
    }

    /// Creates the error of a command that was not sent, because there is no session.
    pub(crate) const fn unavailable(kind: ErrorKind, text: String) -> Self {
        Self { kind, text, cause: None }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns whether Redis did not answer in time.
    pub(crate) fn is_timeout(&self) -> bool {
        self.client_error().is_some_and(RedisError::is_timeout)
    }

    /// Returns the cause, if it is an error of the Redis client and not of this crate.
    pub(crate) fn client_error(&self) -> Option<&RedisError> {
        self.cause.as_deref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for Error {}
