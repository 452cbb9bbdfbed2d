use std::sync::Arc;

use redis::{RedisError, ServerError, Value};

use crate::{runs::seam::reply::StoreError, server::health::display_with_sources};

/// The reason that a command has no reply, by what it says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The script is not loaded.
    NoScript,
    /// The command failed for its keys alone.
    Run,
    /// A script may have stopped halfway, and its keys need not be the reason: if the user lacks a
    /// permission for a command of the script, some versions of Redis answer with the same code.
    Stopped,
    /// The server does not accept the command at present.
    Refused,
    /// The reply is missing.
    Lost,
    /// The server cannot serve this session, or no longer. A new connection can lead to another
    /// server.
    WrongServer,
}

impl Class {
    pub(super) fn of(code: &str) -> Self {
        match code {
            "NOSCRIPT" => Self::NoScript,
            "WRONGTYPE" => Self::Run,
            "ERR" => Self::Stopped,
            "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOPERM" => Self::Refused,
            // Such as READONLY, MASTERDOWN, LOADING and NOAUTH.
            _ => Self::WrongServer,
        }
    }
}

/// The error of a command, with its class.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    error: StoreError,
}

impl Failure {
    /// Creates the failure of an error reply.
    fn of_reply(error: &ServerError) -> Self {
        let code = error.code();
        let text: Arc<str> = match error.details() {
            Some(details) => format!("{code} {details}").into(),
            None => code.into(),
        };
        let class = Class::of(code);
        let error = match class {
            Class::Run => StoreError::Run(text),
            Class::Stopped => StoreError::Lost(text),
            _ => StoreError::Unavailable(text),
        };
        Self { class, error }
    }

    /// Creates the failure of a command whose reply is missing.
    pub(super) fn lost(error: &RedisError) -> Self {
        let error = StoreError::Lost(display_with_sources(error).into());
        Self { class: Class::Lost, error }
    }

    /// Creates the failure of a reply that no script of this version gives.
    pub(super) fn unexpected() -> Self {
        let error = StoreError::Run("unexpected reply from Redis".into());
        Self { class: Class::Run, error }
    }

    /// Creates the failure of a command for a run of another version of the protocol.
    pub(super) const fn version() -> Self {
        Self { class: Class::Run, error: StoreError::Version }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Returns a reply, or its failure. A reply within an array can be an error too.
pub(super) fn check(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(Failure::of_reply(&error)),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn errors_are_sorted_by_their_codes() {
        for (code, class) in [
            ("NOSCRIPT", Class::NoScript),
            ("ERR", Class::Stopped),
            ("WRONGTYPE", Class::Run),
            ("OOM", Class::Refused),
            ("MISCONF", Class::Refused),
            ("READONLY", Class::WrongServer),
            ("LOADING", Class::WrongServer),
            ("SOMETHING", Class::WrongServer),
        ] {
            assert_eq!(Class::of(code), class, "{code}");
        }
    }
}
