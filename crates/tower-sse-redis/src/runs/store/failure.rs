use redis::Value;

use crate::runs::seam::reply::Failure;

impl Failure {
    /// Returns the failure of an error reply with this code.
    fn of(code: &str) -> Self {
        match code {
            "NOSCRIPT" => Self::NoScript,
            "WRONGTYPE" => Self::Run,
            "ERR" => Self::Stopped,
            "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOPERM" => Self::Unavailable,
            // Such as READONLY, MASTERDOWN, LOADING and NOAUTH.
            _ => Self::WrongServer,
        }
    }
}

/// Returns a reply, or its failure. A reply within an array can be an error too.
pub(super) fn check(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(Failure::of(error.code())),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn errors_are_sorted_by_their_codes() {
        for (code, failure) in [
            ("NOSCRIPT", Failure::NoScript),
            ("ERR", Failure::Stopped),
            ("WRONGTYPE", Failure::Run),
            ("OOM", Failure::Unavailable),
            ("MISCONF", Failure::Unavailable),
            ("READONLY", Failure::WrongServer),
            ("LOADING", Failure::WrongServer),
            ("SOMETHING", Failure::WrongServer),
        ] {
            assert_eq!(Failure::of(code), failure, "{code}");
        }
    }
}
