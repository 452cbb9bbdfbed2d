use std::{fmt, sync::Arc, time::Duration};

use super::{Hub, Retention, hub::Shared, registry::RetentionOf, registry::Topics};

/// Sets what a [`Hub`] keeps.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::Hub;
///
/// let hub = Hub::builder()
///     .retain_events(1024)
///     .retain_bytes(1 << 20)
///     .retain_for(Duration::from_secs(300))
///     .max_memory(64 << 20)
///     .build();
/// # _ = hub;
/// ```
#[must_use]
pub struct HubBuilder {
    retention: Retention,
    retention_of: Option<Box<RetentionOf>>,
    budget: usize,
    #[cfg(tower_sse_loom)]
    broken: super::Broken,
}

impl HubBuilder {
    pub(super) const fn new() -> Self {
        Self {
            retention: Retention::new(),
            retention_of: None,
            budget: 64 << 20,
            #[cfg(tower_sse_loom)]
            broken: super::Broken::Not,
        }
    }

    #[cfg(tower_sse_loom)]
    #[allow(missing_docs)]
    pub fn broken(mut self, broken: super::Broken) -> Self {
        self.broken = broken;
        self
    }

    /// Every topic keeps its newest so many events: 1,024 by default.
    ///
    /// # Panics
    ///
    /// If `events` is zero: subscribers read what is kept.
    #[track_caller]
    pub fn retain_events(mut self, events: usize) -> Self {
        self.retention = self.retention.events(events);
        self
    }

    /// Every topic keeps its newest events that take so many bytes on the wire: 1 MiB by default.
    /// The very newest is kept whatever its size.
    pub fn retain_bytes(mut self, bytes: usize) -> Self {
        self.retention = self.retention.bytes(bytes);
        self
    }

    /// Limits how long every topic keeps its events: 5 minutes by default.
    ///
    /// A publish or a new subscription evicts what is too old in its own topic. In the other
    /// topics, each publish evicts it in turn: in 16 topics once a millisecond, and in 16 more
    /// whenever four topics have begun to keep something. So a hub to which clients publish, each
    /// to a topic of its own, has at most a third more topics than those whose events are new
    /// enough.
    ///
    /// Where nothing is published to any topic, nothing is evicted.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.retention = self.retention.age(age);
        self
    }

    /// Some topics keep more or less than others: what the closure returns for a topic's name goes
    /// before the other three limits. It is called whenever a topic comes into being, perhaps by
    /// several threads at once, and outside of all locks. It may use the hub, but not that topic:
    /// for it, it would be called again, without end.
    pub fn retention_of<F>(mut self, retention_of: F) -> Self
    where
        F: Fn(&str) -> Option<Retention> + Send + Sync + 'static,
    {
        self.retention_of = Some(Box::new(retention_of));
        self
    }

    /// Limits the memory that all topics together take for what they keep: 64 MiB by default.
    ///
    /// | counted | bytes |
    /// |---|---|
    /// | an event | its bytes on the wire and 112 more |
    /// | a topic in which something is kept | 560 and its name |
    /// | a frame kept for subscribers that are behind, up to 16 in a topic | its bytes, at most 20 KiB |
    ///
    /// | not counted | bytes |
    /// |---|---|
    /// | a topic with subscriptions that keeps nothing | about 400 and its name, with the first of its subscriptions |
    /// | events and frames that were evicted, while a server still has to send them | their bytes, once for all clients that hold them |
    ///
    /// A publish that finds too much evicts, in this order, until there is room:
    ///
    /// 1. frames, which can be made again;
    /// 2. events of topics without subscriptions, first of those to which nothing was published for the
    ///    longest time;
    /// 3. the older half of the topic that keeps most.
    ///
    /// It compares 32 topics at a time. Only topics that keep something are looked at, however many
    /// others there are. An event that is larger than the limit is not kept, and subscribers are
    /// told a gap; with a limit of zero that is so for every event.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// The hub.
    #[must_use]
    pub fn build(self) -> Hub {
        let topics = Topics::new(self.retention, self.retention_of, self.budget);
        let shared = Shared::new(topics);
        #[cfg(tower_sse_loom)]
        let shared = {
            let mut shared = shared;
            shared.broken = self.broken;
            shared
        };
        Hub::of(Arc::new(shared))
    }
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("retention", &self.retention)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
