use std::{collections::HashSet, time::Duration};

use tokio::sync::watch;

use crate::runs::seam::{Connection, Failure, RunId};

/// The state of a process' connection, and its faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(super) subscribed: HashSet<RunId>,
    pub(super) is_away: bool,
    /// The number of calls whose commands are executed, but whose replies are lost.
    pub(crate) lost_replies: usize,
    /// Whether pushes and hints to this process are lost.
    pub(crate) loses_pushes: bool,
    /// The result of every command that names this run, instead of a reply.
    pub(crate) refused: Option<(RunId, Failure)>,
    /// Whether another process is faster at every claim.
    pub(crate) is_overtaken: bool,
    /// The number of calls that panic instead of executing their commands.
    pub(crate) panics: usize,
    /// Whether the next load does.
    pub(crate) load_panics: bool,
    /// The delay of everything that the process asks of the store.
    pub(crate) delay: Duration,
    /// The delay of replies to commands, which are executed at once.
    pub(crate) reply_delay: Duration,
    pub(super) connection: Option<watch::Sender<Connection>>,
    pub(super) number: u64,
}
