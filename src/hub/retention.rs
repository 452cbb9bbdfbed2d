use std::time::Duration;

/// What a topic keeps for clients that come back: as much as all three limits allow.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::{Hub, Retention};
///
/// let hub = Hub::builder()
///     .retention_of(|topic| {
///         topic.starts_with("audit:").then(|| Retention::new().events(100_000).bytes(64 << 20))
///     })
///     .build();
/// # _ = hub;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

impl Retention {
    /// 1,024 events, 1 MiB, 5 minutes.
    pub const fn new() -> Self {
        Self { events: 1024, bytes: 1 << 20, age: Duration::from_secs(300) }
    }

    /// The newest so many events.
    ///
    /// # Panics
    ///
    /// If `events` is zero: subscribers read what is kept.
    #[track_caller]
    pub const fn events(mut self, events: usize) -> Self {
        assert!(events > 0, "subscribers read what is kept: a topic has to keep an event");
        self.events = events;
        self
    }

    /// The newest events that take so many bytes on the wire together. The very newest is kept whatever
    /// its size.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Events that are not older than this.
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
