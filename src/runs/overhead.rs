//! The memory of a run besides its events.

use super::RunKey;
use crate::history::ENTRY_OVERHEAD;

/// The memory of a run besides its key and events, measured with an allocator.
pub(crate) const RUN_OVERHEAD: usize = 704;
/// The memory of the task of a running run, without its service or stream.
pub(crate) const TASK_OVERHEAD: usize = 1024;
/// The maximum memory of a running run besides its events, with the longest key.
pub(crate) const MAX_OVERHEAD: usize = RUN_OVERHEAD + TASK_OVERHEAD + RunKey::MAX_LEN;

/// Returns the maximum size on the wire of an event of a run that keeps this number of bytes.
pub(crate) const fn max_event(retain_bytes: usize) -> usize {
    retain_bytes.saturating_sub(ENTRY_OVERHEAD)
}
