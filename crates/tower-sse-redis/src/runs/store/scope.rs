use std::time::Duration;

use super::keys::Keys;
use crate::runs::seam::run_id::ProcessId;

/// What all commands of a process are about.
pub(super) struct Scope {
    pub(super) keys: Keys,
    pub(super) process: ProcessId,
    pub(super) lease: Duration,
    /// The time that the keys of a run are kept.
    pub(super) kept_for: Duration,
}
