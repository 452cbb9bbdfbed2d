use std::sync::Arc;

use ::redis::{RedisError, ServerError, Value};

use super::super::health::display_with_sources;
use crate::runs::cluster::reply::StoreError;

/// An error reply of Redis, by what it says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The script is not loaded.
    NoScript,
    /// The command failed for its keys alone.
    Run,
    /// The server does not accept the command at present.
    Refused,
    /// The server is not, or no longer, the one to talk to. A new connection can lead to another.
    WrongServer,
}

impl Class {
    pub(super) fn of(code: &str) -> Self {
        match code {
            "NOSCRIPT" => Self::NoScript,
            "ERR" | "WRONGTYPE" => Self::Run,
            "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOPERM" => Self::Refused,
            // Such as READONLY, MASTERDOWN, LOADING and NOAUTH.
            _ => Self::WrongServer,
        }
    }
}

/// An error reply, with its class.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    text: Arc<str>,
}

impl Failure {
    pub(super) fn new(error: &ServerError) -> Self {
        let code = error.code();
        let text = match error.details() {
            Some(details) => format!("{code} {details}"),
            None => code.to_owned(),
        };
        Self { class: Class::of(code), text: text.into() }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure.class {
            Class::Run => Self::Run(failure.text),
            Class::NoScript | Class::Refused | Class::WrongServer => {
                Self::Unavailable(failure.text)
            }
        }
    }
}

/// Returns a reply, or its failure. A reply within an array can be an error too.
pub(super) fn check(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(Failure::new(&error)),
        reply => Ok(reply),
    }
}

/// Returns the error of a command whose reply is missing.
pub(super) fn lost(error: &RedisError) -> StoreError {
    StoreError::Lost(display_with_sources(error).into())
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn errors_are_sorted_by_their_codes() {
        for (code, class) in [
            ("NOSCRIPT", Class::NoScript),
            ("ERR", Class::Run),
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
