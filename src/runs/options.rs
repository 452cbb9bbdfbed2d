use std::{fmt, sync::Arc, time::Duration};

use super::{RunEnd, registry::registry::RunLimits};

pub(super) type OnEnd = dyn Fn(&RunEnd) + Send + Sync;

/// The options that a [`RunsBuilder`](super::RunsBuilder) sets.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) retain_bytes: usize,
    pub(super) max_memory: usize,
    pub(super) retain_for: Duration,
    pub(super) abandon_after: Duration,
    pub(super) limits: RunLimits,
    pub(super) leading_ids: bool,
    pub(super) on_end: Vec<Arc<OnEnd>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retain_bytes", &self.retain_bytes)
            .field("max_memory", &self.max_memory)
            .field("retain_for", &self.retain_for)
            .field("abandon_after", &self.abandon_after)
            .field("limits", &self.limits)
            .field("leading_ids", &self.leading_ids)
            .finish_non_exhaustive()
    }
}
