use std::{fmt, sync::Arc};

use super::{reply::Push, run_id::RunId};
use crate::history::Epoch;

/// The receiver of what other processes send through the store.
///
/// It does not block, and may be used after the [`Runs`](crate::runs::Runs) was dropped.
#[derive(Clone)]
pub struct Inbox {
    receive: Arc<dyn Fn(Incoming) + Send + Sync>,
}

/// What a store passes to an [`Inbox`].
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A push of a run that is subscribed. Pushes of one run are passed in their order.
    Push(RunId, Push),
    /// Pushes of all runs may be missing, because the connection broke or its buffer was full. The
    /// runs are then loaded. After a break, it is passed once all are subscribed again.
    LostPushes,
    /// Something has happened to a run of this process: it was ended, or is watched. The run is
    /// then synchronized, so a forged hint costs a command.
    Hint(Epoch),
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
