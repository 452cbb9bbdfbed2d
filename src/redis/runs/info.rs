use ::redis::{RedisError, Value, from_redis_value};

use super::super::Error;

/// What a server reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// The id of the server's process, which no other server has.
    pub(super) run_id: String,
    /// Whether the server deletes keys when its memory is full.
    pub(super) evicts: bool,
}

/// The sections of INFO that are read.
pub(super) const SECTIONS: [&str; 3] = ["server", "memory", "replication"];

impl ServerInfo {
    /// Reads the reply of INFO. Returns an error if runs cannot be kept on the server.
    pub(super) fn parse(reply: Value) -> Result<Self, Error> {
        const ACTION: &str = "identify the Redis server";
        let text: String =
            from_redis_value(reply).map_err(|error| Error::new(ACTION, RedisError::from(error)))?;
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
        };
        if field("redis_mode") == Some("cluster") {
            return Err(Error::new(ACTION, "runs need a server outside of a cluster"));
        }
        if field("role").is_some_and(|role| role != "master") {
            return Err(Error::new(ACTION, "the server is a replica"));
        }
        let Some(run_id) = field("run_id") else {
            return Err(Error::new(ACTION, "unexpected reply from Redis"));
        };
        let is_limited = field("maxmemory").is_some_and(|maximum| maximum != "0");
        let evicts = is_limited && field("maxmemory_policy") != Some("noeviction");
        Ok(Self { run_id: run_id.to_owned(), evicts })
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::ServerInfo;

    const INFO: &str = "# Server\r\nredis_mode:standalone\r\nrun_id:abc\r\n\r\n# Memory\r\n\
        maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n# Replication\r\nrole:master\r\n";

    fn parse(text: &str) -> Result<ServerInfo, String> {
        let reply = Value::BulkString(text.as_bytes().to_vec());
        ServerInfo::parse(reply).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn server_evicts_only_with_a_limit_and_a_policy() {
        let info = parse(INFO).unwrap();
        assert_eq!(info, ServerInfo { run_id: "abc".to_owned(), evicts: false });
        let limited = INFO.replace("maxmemory:0", "maxmemory:1000");
        assert!(parse(&limited).unwrap().evicts);
        assert!(!parse(&limited.replace("allkeys-lru", "noeviction")).unwrap().evicts);
    }

    #[test]
    fn replicas_and_clusters_are_refused() {
        assert!(parse(&INFO.replace("master", "slave")).unwrap_err().contains("replica"));
        assert!(parse(&INFO.replace("standalone", "cluster")).unwrap_err().contains("cluster"));
    }
}
