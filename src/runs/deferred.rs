use std::{sync::Arc, task::Waker};

use super::{RunEnd, record::Record};
use crate::history::{DeferredDrops, WakeList};

/// Work that is deferred until all locks are released, because it runs code of the program or of a
/// runtime.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) drops: DeferredDrops,
    pub(super) waiters: Vec<WakeList>,
    pub(super) wakers: Vec<Waker>,
    /// The runs whose phase changed. They may be dropped with the list.
    pub(super) changed: Vec<Arc<Record>>,
    pub(super) ends: Vec<RunEnd>,
}

impl Deferred {
    /// Wakes all waiting tasks, and returns the reports of the runs that ended.
    pub(super) fn wake(self) -> Vec<RunEnd> {
        for record in &self.changed {
            record.changed.notify_waiters();
        }
        self.waiters.into_iter().for_each(WakeList::wake);
        self.wakers.into_iter().for_each(crate::history::wake);
        self.ends
    }
}
