use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::AcqRel},
};

use crate::history::Epoch;

/// A run's mark, which its task sets for each event without a lock. The run's exporter clears it.
#[derive(Clone)]
pub struct Mark {
    is_set: Arc<AtomicBool>,
    pub epoch: Epoch,
}

impl Mark {
    pub fn new(epoch: Epoch) -> Self {
        Self { is_set: Arc::default(), epoch }
    }

    /// Sets the mark. Returns whether it was not set.
    #[inline]
    pub fn set(&self) -> bool {
        !self.is_set.swap(true, AcqRel)
    }

    pub fn clear(&self) {
        self.is_set.swap(false, AcqRel);
    }
}
