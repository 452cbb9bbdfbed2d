use redis::{FromRedisValue, ParsingError, Value, from_redis_value};

/// The section of INFO that counts commands.
pub(crate) const COUNTS: &str = "commandstats";

/// The sections of INFO that show the lineage.
pub(crate) const LINEAGE_SECTIONS: [&str; 3] = ["server", "replication", COUNTS];

/// The lines of INFO of which one changes whenever the stream may have been replaced by an older
/// state: the id of the server, which changes at each start, the id of its replication history, and
/// the counts of the commands that can replace the value of a key.
///
/// `CONFIG RESETSTAT` sets the counts to zero.
const LINES: &str = "run_id master_replid cmdstat_copy cmdstat_move cmdstat_rename cmdstat_renamenx \
    cmdstat_restore cmdstat_restore-asking cmdstat_swapdb cmdstat_debug cmdstat_config|resetstat";

/// A part of a server's report about itself. While it is unchanged, no older state has replaced the
/// stream, so the server had all entries that are missing now, and they were trimmed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage(String);

impl FromRedisValue for Lineage {
    /// Reads the reply of INFO.
    fn from_redis_value(reply: Value) -> Result<Self, ParsingError> {
        let info: String = from_redis_value(reply)?;
        let is_kept = |line: &&str| LINES.split(' ').any(|it| line.split(':').next() == Some(it));
        let mut lines: Vec<_> = info.lines().filter(is_kept).map(str::to_owned).collect();
        // A server that reports no counts proves nothing: the client has sent commands, so there
        // would be some.
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
        for line in LINES.split(' ') {
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
