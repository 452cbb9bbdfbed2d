use std::{fmt, sync::Arc};

use tower_sse::runs::support::Epoch;

use super::{reply::Push, run_id::RunId};

/// The receiver of what other processes send through the store.
///
/// It does not block, and may be used after the [`Runs`](tower_sse::runs::Runs) was dropped.
#[derive(Clone)]
pub(crate) struct Inbox {
    receive: Arc<dyn Fn(Incoming) + Send + Sync>,
}

/// What a store passes to an [`Inbox`].
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

impl Inbox {
    pub(crate) fn new(receive: impl Fn(Incoming) + Send + Sync + 'static) -> Self {
        Self { receive: Arc::new(receive) }
    }

    pub(crate) fn receive(&self, incoming: Incoming) {
        (self.receive)(incoming);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
