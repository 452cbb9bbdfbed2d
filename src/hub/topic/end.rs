use std::time::Duration;

/// The end of a topic: the position of its last event, and the time until which its name is taken.
///
/// An event that is published before that time, by the clock that all processes of a hub share, is
/// dropped in each of them. One that follows a loss is not: its process may have lost the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicEnd {
    /// The sequence number of the last event.
    pub(crate) sequence: u64,
    /// The time at which the name is free, by the clock of the hub's broker if it has one.
    pub(crate) free_at: Duration,
    /// The same time by the clock of this process, which is not exact if the hub has a broker.
    pub(crate) free_here: Duration,
}
