use ::redis::{FromRedisValue, ParsingError, Value, from_redis_value};

/// The section of INFO that counts commands.
pub(super) const COUNTS: &str = "commandstats";

/// The sections of INFO that show the lineage.
pub(super) const SECTIONS: [&str; 3] = ["server", "replication", COUNTS];

/// The lines that differ after a server may have replaced the stream by an older state of it: those
/// of another server, those after a replication from another server, and the counts of the commands
/// that put another value in the place of a key.
const LINES: [&str; 11] = [
    "run_id",
    "master_replid",
    "cmdstat_copy",
    "cmdstat_move",
    "cmdstat_rename",
    "cmdstat_renamenx",
    "cmdstat_restore",
    "cmdstat_restore-asking",
    "cmdstat_swapdb",
    "cmdstat_debug",
    // It sets the counts to zero.
    "cmdstat_config|resetstat",
];

/// What shows that a server has had only one state of the stream after another. Entries that are
/// missing were then trimmed or deleted, and were there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage(String);

impl FromRedisValue for Lineage {
    /// Reads the reply of INFO.
    fn from_redis_value(reply: Value) -> Result<Self, ParsingError> {
        let info: String = from_redis_value(reply)?;
        let is_kept = |line: &&str| line.split(':').next().is_some_and(|it| LINES.contains(&it));
        let mut lines: Vec<_> = info.lines().filter(is_kept).map(str::to_owned).collect();
        // A server without these counts proves nothing. The client has sent commands before.
        if !info.contains("cmdstat_") {
            lines.push(fastrand::u64(..).to_string());
        }
        Ok(Self(lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES, Lineage};

    const INFO: &str = "# Server\r\nrun_id:abc\r\nuptime_in_seconds:7\r\n# Replication\r\n\
        master_replid:def\r\n# Commandstats\r\ncmdstat_info:calls=1,usec=9\r\n";

    fn lineage(text: &str) -> Lineage {
        redis::from_redis_value(redis::Value::BulkString(text.into())).unwrap()
    }

    #[test]
    fn lineage_changes_with_each_of_its_lines_and_no_other() {
        let base = lineage(INFO);
        assert_eq!(lineage(&INFO.replace("calls=1", "calls=2").replace(":7", ":8")), base);
        for line in LINES {
            assert_ne!(lineage(&format!("{INFO}{line}:calls=1,usec=1\r\n")), base, "{line}");
        }
        for (old, new) in [("abc", "xyz"), ("def", "uvw")] {
            assert_ne!(lineage(&INFO.replace(old, new)), base);
        }
    }

    #[test]
    fn server_without_counts_of_commands_proves_nothing() {
        let text = INFO.split_once("# Commandstats").unwrap().0;
        assert_ne!(lineage(text), lineage(text));
    }
}
