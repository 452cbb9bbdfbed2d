use redis::RedisError;
use tower_sse::BoxError;

use crate::{Error, ErrorKind};

/// Creates the error for an action that failed, such as `connect to Redis`, with its cause.
pub(crate) fn failed(action: &str, cause: impl Into<BoxError>) -> Error {
    let cause: BoxError = cause.into();
    let kind = cause.downcast_ref().map_or(ErrorKind::Other, kind_of);
    Error::new(action, kind, cause)
}

fn kind_of(error: &RedisError) -> ErrorKind {
    match error.code() {
        Some("OOM") => ErrorKind::OutOfResources,
        Some("ERR") if begins_with(error, &["max number of clients"]) => ErrorKind::OutOfResources,
        Some("READONLY" | "NOREPLICAS" | "MISCONF") => ErrorKind::ReadOnly,
        Some("NOPERM" | "NOAUTH" | "WRONGPASS") => ErrorKind::NotPermitted,
        Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN") => ErrorKind::Loading,
        // If a permission is missing, a script's error can have the code `ERR`.
        Some("ERR") if begins_with(error, &NO_PERMISSION) => ErrorKind::NotPermitted,
        None if error.kind() == redis::ErrorKind::AuthenticationFailed => ErrorKind::NotPermitted,
        None if error.is_io_error() => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

/// How a script's error begins if the user lacks a permission: in Redis 7.0, and in newer servers.
const NO_PERMISSION: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];

fn begins_with(error: &RedisError, texts: &[&str]) -> bool {
    error.detail().is_some_and(|detail| texts.iter().any(|text| detail.starts_with(text)))
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::{ErrorKind, kind_of};

    #[test]
    fn cluster_that_is_down_is_a_temporary_cause() {
        for text in ["The cluster is down", "Hash slot not served"] {
            let reply = parse_redis_value(format!("-CLUSTERDOWN {text}\r\n").as_bytes());
            let error = reply.unwrap().extract_error().unwrap_err();
            assert_eq!(kind_of(&error), ErrorKind::Loading, "{error}");
        }
    }

    #[test]
    fn script_that_lacks_a_permission_is_not_permitted() {
        let refused = "The user executing the script can't";
        for text in [
            &format!("{refused} run this command or subcommand"),
            &format!(
                "{refused} access at least one of the keys mentioned in the command arguments"
            ),
            &format!("{refused} publish to the channel mentioned in the command"),
            "ACL failure in script: No permissions to access a channel",
        ] {
            let reply = parse_redis_value(format!("-ERR {text} script: 1, on 2.\r\n").as_bytes());
            let error = reply.unwrap().extract_error().unwrap_err();
            assert_eq!(kind_of(&error), ErrorKind::NotPermitted, "{error}");
        }
    }
}
