use std::{sync::Arc, time::Duration};

use super::{RunEnd, RunKey};
use crate::callback::Opaque;
use crate::history::ENTRY_OVERHEAD;

pub(crate) type OnEnd = Opaque<Arc<dyn Fn(&RunEnd) + Send + Sync>>;

#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) retain_bytes: usize,
    pub max_memory: usize,
    pub retain_for: Duration,
    pub(crate) abandon_after: Duration,
    pub(crate) max_running: usize,
    pub(crate) max_running_per_owner: usize,
    pub(crate) on_end: Vec<OnEnd>,
}

/// The maximum of the retention age and of `abandon_after`. Adding a longer time to an instant
/// could overflow.
pub(super) const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Options {
    pub(super) fn max_record(&self) -> usize {
        self.retain_bytes.min(self.max_memory.saturating_sub(MAX_OVERHEAD))
    }

    pub(super) fn max_event(&self) -> usize {
        max_event(self.max_record())
    }

    pub(super) fn memory_of_running(&self, count: usize) -> usize {
        (self.max_record() + MAX_OVERHEAD).saturating_mul(count)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retain_bytes: 2 << 20,
            max_memory: 2 << 30,
            retain_for: Duration::from_secs(5 * 60),
            abandon_after: Duration::from_secs(10 * 60),
            max_running: 10_000,
            max_running_per_owner: 16,
            on_end: Vec::new(),
        }
    }
}

/// The memory of a run besides its key and events, measured with a counting allocator.
pub(crate) const RUN_OVERHEAD: usize = 704;
/// The memory of the task of a running run, without its service or stream.
pub(crate) const TASK_OVERHEAD: usize = 1024;
/// The maximum memory of a running run besides its events, with the longest key.
const MAX_OVERHEAD: usize = RUN_OVERHEAD + TASK_OVERHEAD + RunKey::MAX_LEN;

pub(crate) const fn max_event(retain_bytes: usize) -> usize {
    retain_bytes.saturating_sub(ENTRY_OVERHEAD)
}
