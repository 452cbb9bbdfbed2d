use std::time::Duration;

use tower_sse::runs::store::ProcessId;

use super::keys::Keys;

/// What all commands of a process are about.
pub(super) struct Scope {
    pub(super) keys: Keys,
    pub(super) process: ProcessId,
    pub(super) lease: Duration,
    /// The time that the keys of a run are kept.
    pub(super) kept_for: Duration,
}
