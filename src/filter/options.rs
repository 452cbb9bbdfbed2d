use std::time::Duration;

/// What a program has set.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) max_event_size: usize,
    pub(super) pass_oversized: bool,
    pub(super) pass_encoded: bool,
    pub(super) pass_rejected: bool,
    pub(super) hold_head: Option<Duration>,
}
