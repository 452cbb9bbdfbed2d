use std::time::Duration;

/// What a broker knows of an event besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub sequence: u64,
    /// The time since the event was published.
    pub age: Duration,
    /// The time at which it was published, by a clock that all processes share.
    pub at: Duration,
    /// Whether it ends its topic.
    pub is_last: bool,
}
