use std::time::Duration;

/// What a broker knows of an event besides its content, for
/// [`Feed::event`](crate::hub::broker::Feed::event).
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub(crate) sequence: u64,
    pub(crate) at: Duration,
    pub(crate) age: Duration,
    pub(crate) ends_topic: bool,
}

impl Arrival {
    /// Creates the arrival of the event with this sequence number, which was published `at` this time
    /// of the clock that all processes share, `age` ago.
    ///
    /// The name of a topic that has ended is free again by this clock. The hub forgets events by
    /// their age.
    #[must_use]
    pub const fn new(sequence: u64, at: Duration, age: Duration) -> Self {
        Self { sequence, at, age, ends_topic: false }
    }

    /// Sets whether the event is the last one of its topic. The default is `false`.
    #[must_use]
    pub const fn ends_topic(mut self, ends_topic: bool) -> Self {
        self.ends_topic = ends_topic;
        self
    }
}
