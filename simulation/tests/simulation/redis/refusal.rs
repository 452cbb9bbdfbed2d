use super::resp::Reply;

/// An error with which a server answers commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    OutOfMemory,
    ReadOnly,
    Loading,
    NoReplicas,
}

/// The commands that change data. Scripts are not among them: each of their commands is checked.
pub(super) const WRITES: [&str; 10] =
    ["XADD", "XDEL", "XTRIM", "DEL", "UNLINK", "RENAME", "COPY", "FLUSHALL", "PEXPIRE", "PERSIST"];

/// The commands that need memory.
pub(super) const DENIED_WITHOUT_MEMORY: [&str; 2] = ["XADD", "COPY"];

/// The commands that a server answers while it loads its data.
pub(super) const ANSWERED_WHILE_LOADING: [&str; 3] = ["CLIENT", "INFO", "TIME"];

impl Refusal {
    /// Returns the error with which a server in this state answers a command, if it refuses it.
    pub(super) fn of(self, command: &str) -> Option<Reply> {
        let is_refused = match self {
            Self::Loading => !ANSWERED_WHILE_LOADING.contains(&command),
            Self::OutOfMemory => DENIED_WITHOUT_MEMORY.contains(&command),
            Self::ReadOnly | Self::NoReplicas => WRITES.contains(&command),
        };
        is_refused.then(|| Reply::Error(self.text().to_owned()))
    }

    const fn text(self) -> &'static str {
        match self {
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
        }
    }
}
