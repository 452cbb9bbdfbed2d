//! How a server identifies its replication history.

use super::*;

/// How long a server keeps its backlog after a failover: an hour in Redis by default. Here, a
/// minute is enough, because no process goes without a check for that long.
const BACKLOG_TIME: Duration = Duration::from_secs(60);

/// What a server reports about its replication.
#[derive(Clone, Debug, Default)]
pub(super) struct Replication {
    id: String,
    /// The id of the history that the present history continues, or an empty text.
    second_id: String,
    /// Whether the server has a backlog: the commands that a replica may have missed.
    has_backlog: bool,
    /// The number of commands by which the server became a replica or a primary.
    changes: u64,
}

impl Replication {
    pub(super) fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// Begins another history, which continues that of the primary or of an earlier process.
    pub(super) fn take_over(&mut self, earlier: &Self, id: String) {
        self.second_id.clone_from(&earlier.id);
        (self.id, self.has_backlog) = (id, true);
    }

    /// Counts that an operator has made the server a replica and a primary again.
    pub(super) fn count_changes(&mut self) {
        self.changes += 2;
    }

    /// Begins another history if the server makes a backlog for its first replica, or frees its
    /// backlog.
    fn set_backlog(&mut self, has_backlog: bool, id: String) {
        if self.has_backlog != has_backlog {
            *self = Self { id, has_backlog, second_id: String::new(), changes: self.changes };
        }
    }

    /// Returns the lines of `INFO` about the history, and those that count changes of the role.
    pub(super) fn info(&self) -> [String; 2] {
        let Self { id, second_id, changes, .. } = self;
        let second_id = if second_id.is_empty() { &"0".repeat(40) } else { second_id };
        let counts = match changes {
            0 => String::new(),
            _ => format!("cmdstat_replicaof:calls={changes},usec=1\r\n"),
        };
        [format!("master_replid:{id}\r\nmaster_replid2:{second_id}\r\n"), counts]
    }
}

impl Network {
    /// Attaches a replica to the current server, or lets the time pass after which a server without
    /// replicas frees its backlog. A backlog stays for [`BACKLOG_TIME`] after a failover.
    pub fn change_replicas(&self) {
        let has_backlog = self.change(|state| {
            let is_recent = state.failed_over_at.is_some_and(|at| at.elapsed() < BACKLOG_TIME);
            let id = state.next_run_id();
            let Replication { has_backlog, .. } = state.current().server.replication;
            if !(has_backlog && is_recent) {
                state.current().server.replication.set_backlog(!has_backlog, id);
            }
            state.current().server.replication.has_backlog
        });
        self.log(|| format!("*** a backlog for replicas: {has_backlog}"));
    }
}
