use std::{fmt, sync::Arc};

use super::{reply::Push, run_id::RunId};
use crate::history::Epoch;

/// The receiver of what other processes send through the store.
///
/// Its methods do not block, and may be called after the [`Runs`](crate::runs::Runs) was dropped.
#[derive(Clone)]
pub struct Inbox {
    receiver: Arc<dyn Receiver>,
}

impl Inbox {
    pub(crate) fn new(receiver: Arc<dyn Receiver>) -> Self {
        Self { receiver }
    }

    /// Passes a push of a run that is subscribed. Pushes of one run are passed in their order.
    pub(crate) fn push(&self, run: &RunId, push: Push) {
        self.receiver.push(run, push);
    }

    /// Reports that pushes of all runs may be missing, because the connection broke or its buffer
    /// was full. The runs are then loaded. After a break, it is called once all are subscribed
    /// again.
    pub(crate) fn lose_pushes(&self) {
        self.receiver.lose_pushes();
    }

    /// Passes a hint that something has happened to a run of this process: it was ended, or is
    /// watched. The run is then synchronized, so a forged hint costs a command.
    pub(crate) fn hint(&self, epoch: Epoch) {
        self.receiver.hint(epoch);
    }

    /// Passes a hint that the store has lost its data. All runs of this process are synchronized.
    pub(crate) fn hint_all(&self) {
        self.receiver.hint_all();
    }
}

/// The part of a connected `Runs` that an [`Inbox`] refers to.
pub(crate) trait Receiver: Send + Sync + 'static {
    fn push(&self, run: &RunId, push: Push);
    fn lose_pushes(&self);
    fn hint(&self, epoch: Epoch);
    fn hint_all(&self);
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
