use std::mem;

use redis::{FromRedisValue, InfoDict, ParsingError, Value, from_redis_value};
use tower_sse_broker::warn;

use crate::server::error::failed;
use crate::{Error, ErrorKind, Health};

const ACTION: &str = "identify the Redis server";

/// What a server reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// The random id of the server's process.
    pub(crate) run_id: String,
    pub(crate) is_replica: bool,
    pub(crate) is_cluster: bool,
    pub(crate) eviction: Eviction,
    pub(crate) lineage: Lineage,
}

/// The keys that a server deletes when its memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    None,
    /// Only keys that expire, such as those of runs.
    Expiring,
    All,
}

/// The sections of `INFO` that [`ServerInfo`] needs besides [`COUNTS`].
pub(crate) const SECTIONS: [&str; 3] = ["server", "memory", "replication"];

impl ServerInfo {
    pub(crate) fn parse(reply: Value) -> Result<Self, Error> {
        let unexpected = |error| failed(ACTION, error);
        let lineage = from_redis_value(reply.clone()).map_err(unexpected)?;
        let info: InfoDict = from_redis_value(reply).map_err(unexpected)?;
        let field = |name| info.get::<String>(name);
        let Some(run_id) = field("run_id") else {
            let reason = "INFO lacks `run_id`, which shows whether connections lead to one server";
            return Err(failed(ACTION, reason));
        };
        let is_limited = field("maxmemory").is_some_and(|maximum| maximum != "0");
        let eviction = match field("maxmemory_policy").as_deref() {
            _ if !is_limited => Eviction::None,
            Some("noeviction") => Eviction::None,
            Some(policy) if policy.starts_with("volatile") => Eviction::Expiring,
            _ => Eviction::All,
        };
        Ok(Self {
            run_id,
            is_replica: field("role").is_some_and(|role| role != "master"),
            // Valkey 8 and later report `server_mode` in place of `redis_mode`.
            is_cluster: ["redis_mode", "server_mode"]
                .into_iter()
                .any(|name| field(name).is_some_and(|mode| mode == "cluster")),
            eviction,
            lineage,
        })
    }

    /// Returns an error if the server is a replica outside of a cluster. A cluster's replica
    /// redirects writes.
    pub(crate) fn require_primary(&self) -> Result<(), Error> {
        if self.is_replica && !self.is_cluster {
            let reason = "the server is a replica, which is read only".to_owned();
            return Err(Error::new(ACTION, ErrorKind::ReadOnly, reason));
        }
        Ok(())
    }

    /// Returns an error if the server can't store runs. `has_tag` says whether their prefix has a
    /// hash tag.
    #[cfg(feature = "runs")]
    pub(crate) fn require_runs(&self, has_tag: bool) -> Result<(), Error> {
        if self.is_cluster && !has_tag {
            return Err(lacks_tag());
        }
        self.require_primary()
    }
}

/// Returns the error for runs whose keys would be on several nodes of a cluster.
#[cfg(feature = "runs")]
pub(crate) fn lacks_tag() -> Error {
    let reason = "in a cluster, the prefix of runs needs a hash tag, such as `{app}`, which keeps \
        all keys on one node";
    failed(ACTION, reason)
}

/// Records whether the server can evict keys. Logs a warning when this becomes `true`.
pub(crate) fn set_evicting(health: &Health, evicts: bool) {
    if !health.stats().update(|stats| mem::replace(&mut stats.evicts, evicts)) && evicts {
        warn!(
            "Redis evicts keys when its memory is full, which loses events and ends runs: use \
             noeviction"
        );
    }
}

/// The section of `INFO` that counts commands.
pub(crate) const COUNTS: &str = "commandstats";

/// The sections of `INFO` that show the lineage.
pub(crate) const LINEAGE_SECTIONS: [&str; 3] = ["server", "replication", COUNTS];

/// The lines of `INFO` that make up the lineage. At least one changes whenever an older state may
/// have replaced the stream: the server's id (new at each start), the id of its replication
/// history, or the count of a command that can replace a key's value.
///
/// `CONFIG RESETSTAT` sets the counts to zero, so its own line is one of these. Only the duration
/// in it tells two resets apart, so a change between them can go unnoticed.
const LINES: &str = "run_id master_replid cmdstat_copy cmdstat_move cmdstat_rename cmdstat_renamenx \
    cmdstat_restore cmdstat_restore-asking cmdstat_swapdb cmdstat_debug cmdstat_config|resetstat";

/// A part of a server's report about itself. While the lineage is unchanged, no older state has
/// replaced the stream, so missing entries were trimmed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage(String);

impl FromRedisValue for Lineage {
    fn from_redis_value(reply: Value) -> Result<Self, ParsingError> {
        let info: String = from_redis_value(reply)?;
        let is_kept = |line: &&str| LINES.split(' ').any(|it| line.split(':').next() == Some(it));
        let mut lines: Vec<_> = info.lines().filter(is_kept).map(str::to_owned).collect();
        // If one of these lines is missing, the report proves nothing. A complete report has
        // counts, because the client has sent commands.
        if !["run_id:", "master_replid:", "cmdstat_"].iter().all(|it| info.contains(it)) {
            lines.push(fastrand::u64(..).to_string());
        }
        Ok(Self(lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Eviction, LINES, Lineage, ServerInfo};

    const INFO: &str = "# Server\r\nredis_mode:standalone\r\nrun_id:abc\r\n\r\n# Memory\r\n\
        maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n# Replication\r\nrole:master\r\n";

    fn parse(text: &str) -> ServerInfo {
        ServerInfo::parse(Value::BulkString(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn server_evicts_only_with_a_limit_and_a_policy() {
        let info = parse(INFO);
        assert_eq!((&*info.run_id, info.eviction), ("abc", Eviction::None));
        let limited = INFO.replace("maxmemory:0", "maxmemory:1000");
        for (policy, eviction) in [
            ("allkeys-lru", Eviction::All),
            ("allkeys-random", Eviction::All),
            ("volatile-ttl", Eviction::Expiring),
            ("noeviction", Eviction::None),
        ] {
            assert_eq!(parse(&limited.replace("allkeys-lru", policy)).eviction, eviction);
        }
    }

    #[test]
    fn replicas_are_refused_outside_of_a_cluster() {
        let replica = INFO.replace("master", "slave");
        parse(INFO).require_primary().unwrap();
        assert!(format!("{:?}", parse(&replica).require_primary()).contains("replica"));
        parse(&replica.replace("standalone", "cluster")).require_primary().unwrap();
    }

    #[test]
    fn cluster_of_valkey_is_one() {
        let valkey = INFO.replace("redis_mode", "server_mode");
        assert!(!parse(&valkey).is_cluster);
        assert!(parse(&valkey.replace("standalone", "cluster")).is_cluster);
    }

    #[cfg(feature = "runs")]
    #[test]
    fn runs_need_a_primary_or_a_hash_tag_in_a_cluster() {
        parse(INFO).require_runs(false).unwrap();
        parse(&INFO.replace("standalone", "cluster")).require_runs(true).unwrap();
        for (is, should_be, reason) in
            [("master", "slave", "replica"), ("standalone", "cluster", "`{app}`")]
        {
            let refused = parse(&INFO.replace(is, should_be)).require_runs(false);
            assert!(format!("{refused:?}").contains(reason), "{refused:?}");
        }
    }

    const LINEAGE_INFO: &str = "# Server\r\nrun_id:abc\r\nuptime_in_seconds:7\r\n# Replication\r\n\
        master_replid:def\r\n# Commandstats\r\ncmdstat_info:calls=1,usec=9\r\n";

    fn lineage(text: &str) -> Lineage {
        redis::from_redis_value(redis::Value::BulkString(text.into())).unwrap()
    }

    #[test]
    fn lineage_changes_with_each_of_its_lines_and_no_other() {
        let base = lineage(LINEAGE_INFO);
        assert_eq!(lineage(&LINEAGE_INFO.replace("calls=1", "calls=2").replace(":7", ":8")), base);
        for line in LINES.split(' ') {
            assert_ne!(
                lineage(&format!("{LINEAGE_INFO}{line}:calls=1,usec=1\r\n")),
                base,
                "{line}"
            );
        }
        for (old, new) in [("abc", "xyz"), ("def", "uvw")] {
            assert_ne!(lineage(&LINEAGE_INFO.replace(old, new)), base);
        }
    }

    #[test]
    fn server_that_reports_too_little_proves_nothing() {
        for missing in ["run_id:", "master_replid:", "cmdstat_"] {
            let text = LINEAGE_INFO.replace(missing, "other:");
            assert_ne!(lineage(&text), lineage(&text), "{missing}");
        }
    }
}
