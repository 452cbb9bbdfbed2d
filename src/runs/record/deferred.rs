use std::{sync::Arc, task::Waker};

use crate::{
    history::{DeferredDrops, WakeList},
    runs::{RunEnd, record::Record},
};

/// Work that is deferred until all locks are released, because it runs code of the program or of a
/// runtime.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    pub(crate) drops: DeferredDrops,
    pub(crate) waiters: Vec<WakeList>,
    pub(crate) wakers: Vec<Waker>,
    /// The runs whose phase changed. They may be dropped with the list.
    pub(crate) changed: Vec<Arc<Record>>,
    pub(crate) ends: Vec<RunEnd>,
}

impl Deferred {
    /// Wakes all waiting tasks, and returns the reports of the runs that ended.
    pub(crate) fn wake(self) -> Vec<RunEnd> {
        for record in &self.changed {
            record.changed.notify_waiters();
        }
        self.waiters.into_iter().for_each(WakeList::wake);
        self.wakers.into_iter().for_each(crate::history::wake);
        self.ends
    }
}
