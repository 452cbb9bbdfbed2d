use super::*;

/// An error with which a server answers commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    OutOfMemory,
    ReadOnly,
    Loading,
    NoReplicas,
    /// The user has no permission for this command.
    NotPermitted(&'static str),
}

/// The commands that change data. Scripts are not among them.
pub(super) const WRITES: [&str; 9] =
    ["XADD", "XTRIM", "HSET", "HDEL", "DEL", "RENAME", "COPY", "FLUSHALL", "PEXPIRE"];

/// The commands that a server refuses while it is out of memory.
pub(super) const DENIED_WITHOUT_MEMORY: [&str; 3] = ["XADD", "HSET", "COPY"];

/// The commands that a server answers while it loads its data, besides those that subscribe and
/// unsubscribe.
pub(super) const ANSWERED_WHILE_LOADING: [&str; 6] =
    ["CLIENT", "HELLO", "INFO", "PUBLISH", "SPUBLISH", "TIME"];

impl Refusal {
    /// Returns the error with which a server in this state refuses a command, if it does.
    pub(super) fn of(self, command: &[u8]) -> Option<Reply> {
        let is_in = |names: &[&str]| names.iter().any(|name| name.as_bytes() == command);
        let is_refused = match self {
            Self::Loading => !is_in(&ANSWERED_WHILE_LOADING) && !command.ends_with(b"SUBSCRIBE"),
            Self::OutOfMemory => is_in(&DENIED_WITHOUT_MEMORY),
            Self::ReadOnly | Self::NoReplicas => is_in(&WRITES),
            Self::NotPermitted(name) => is_in(&[name]),
        };
        is_refused.then(|| self.error())
    }

    /// Returns the error if a server in this state refuses a whole script. Otherwise, each of the
    /// script's commands is checked.
    pub(super) fn of_script(self, text: &[u8]) -> Option<Reply> {
        let is_refused = match self {
            Self::Loading => true,
            Self::OutOfMemory => text.starts_with(b"#") && !allows_oom(text),
            Self::ReadOnly | Self::NoReplicas => text.starts_with(b"#"),
            Self::NotPermitted(name) => name == "EVALSHA",
        };
        is_refused.then(|| self.error())
    }

    /// Returns the error with which a server in this state refuses a command of a script, if it
    /// does.
    pub(super) fn in_script(self, text: &[u8], command: &[u8]) -> Option<Reply> {
        match self {
            Self::OutOfMemory if allows_oom(text) => None,
            // Redis 7.0 answers with this error.
            Self::NotPermitted(_) => self.of(command).and(Some(Reply::error(
                "The user executing the script can't run this command or subcommand",
            ))),
            _ => self.of(command),
        }
    }

    fn error(self) -> Reply {
        let text = match self {
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Self::NotPermitted(_) => "NOPERM This user has no permissions to run the command",
        };
        Reply::Error(text.to_owned())
    }
}

/// Returns whether a script's flags let it write while Redis is out of memory.
fn allows_oom(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"flags=allow-oom"))
}
