use std::{marker, sync::Arc};

use tower_sse::runs::support::Epoch;

use super::{reply::Push, run_id::RunId};

/// Receives what other processes send through the store. It does not block, and may be called after
/// the [`Runs`](tower_sse::runs::Runs) was dropped.
pub(crate) type Receive = Arc<dyn Fn(Incoming) + Send + marker::Sync>;

/// What a store passes to [`Receive`].
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A push of a run that is subscribed. Pushes of one run are passed in their order.
    Push(RunId, Push),
    /// Pushes of all runs may be missing, because the connection broke or its buffer was full, so
    /// all runs are loaded. After a break, the store passes this once all runs are subscribed
    /// again.
    LostPushes,
    /// Another process has ended a run of this process, or watches it. This process then
    /// synchronizes the run, so a forged hint costs only a command.
    Hint(Epoch),
    /// Another run has taken the key of a run of this process, which was live or had ended. No
    /// request finds it any more.
    Replaced(Epoch),
    /// The store has lost its data. All runs of this process are synchronized.
    HintToAll,
}
