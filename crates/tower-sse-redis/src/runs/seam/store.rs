use std::time::Duration;

/// The memory that a store needs for a run besides its events, its head and its error, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overhead {
    /// For its claim, which is all that is left of a call without an event stream.
    pub(crate) claim: usize,
    /// For its stream, with its end.
    pub(crate) stream: usize,
    /// For each batch.
    pub(crate) batch: usize,
}

/// The state of the connection to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// The number of the connection in use, which rises with each new one. A connection to a
    /// server that was restarted has a new number, even if a proxy kept it open.
    Up(u64),
    /// The store cannot be reached.
    Down,
}

/// The minimum time for which the store keeps a run after its end, and after its owner has looked at
/// it.
const MIN_KEPT_FOR: Duration = Duration::from_secs(60);

/// Returns the time for which the store keeps a run. If an eighth of this time has passed when the
/// owner of a live run looks at the stream, the time starts again. The owner looks at the stream at
/// least twice in three leases.
pub(crate) fn kept_for(retain_for: Duration, lease: Duration) -> Duration {
    retain_for.max(lease * 4).max(MIN_KEPT_FOR)
}
