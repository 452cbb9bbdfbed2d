use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    HubBuilder, PublishError, Receipt, Subscribe,
    faults::Fault,
    registry::Registry,
    topic::{Topic, TopicState},
};
use crate::{
    BoxError,
    event::{Event, EventId},
    history::{
        DeferredDrops, Epoch, Position,
        sync::{AtomicBool, AtomicU64, Mutex, Ordering::Acquire, Ordering::Release, lock},
    },
};

/// A set of topics to publish events to and to subscribe to. Clones are cheap and share the
/// topics.
///
/// Subscriptions end when the hub is [closed](Self::close), not when its last clone is dropped.
///
/// See the [module](super) for an overview.
#[derive(Clone)]
#[doc(alias = "broadcast")]
#[doc(alias = "channel")]
pub struct Hub {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) epoch: Epoch,
    /// The start of all ids: the epoch and a hyphen.
    id_prefix: String,
    pub(super) registry: Registry,
    /// All events up to this sequence number can be read. It advances under the lock of the
    /// event's topic, so a reader that finds the event in the topic also finds it committed.
    committed: AtomicU64,
    closed: AtomicBool,
    /// The newest sequence number of all topics. Locked while the lock of a topic is held.
    newest: Mutex<u64>,
    started: Instant,
    pub(super) fault: Fault,
}

impl Hub {
    /// Returns a hub whose topics keep up to 1,024 events, 1 MiB and 5 minutes each, and 64 MiB
    /// together.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a hub with other limits.
    pub const fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    pub(super) const fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes an event to all subscribers of a topic.
    ///
    /// While the event is kept, clients that reconnect receive it too. The publisher never waits
    /// for a slow client.
    ///
    /// The future is ready at its first poll. The method is `async` so that a hub outside the
    /// process can have the same signature; [`publish_now`](Self::publish_now) is the same for
    /// synchronous code.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not become an event, if the event has no data or has an id,
    /// or if the hub is [closed](Self::close).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is published.
    #[allow(clippy::unused_async)]
    pub async fn publish<E>(
        &self,
        topic: impl AsRef<str>,
        event: E,
    ) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        self.publish_now(topic, event)
    }

    /// Publishes an event like [`publish`](Self::publish), for synchronous code.
    ///
    /// It only takes short locks. It wakes the waiting subscribers of the topic, and
    /// [evicts](HubBuilder::max_memory) events if a limit is exceeded.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not become an event, if the event has no data or has an id,
    /// or if the hub is [closed](Self::close).
    pub fn publish_now<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        let event = event.try_into().map_err(|error| PublishError::Invalid(error.into()))?;
        if event.has_id() {
            return Err(PublishError::HasId);
        }
        if !event.has_data() {
            return Err(PublishError::NoData);
        }
        self.shared.publish(topic.as_ref(), &event)
    }

    /// Subscribes to topics; duplicate names count once. [`Subscribe::resume`] sets where the
    /// subscription starts.
    ///
    /// ```
    /// use tower_sse::{LastEventId, hub::{Hub, Subscription}};
    ///
    /// fn events(hub: &Hub, client: &str, last: Option<LastEventId>) -> Subscription {
    ///     hub.subscribe(["news", &format!("client:{client}")]).resume(last)
    /// }
    /// # events(&Hub::new(), "7", None);
    /// ```
    pub fn subscribe<T>(&self, topics: T) -> Subscribe
    where
        T: IntoIterator<Item: AsRef<str>>,
    {
        Subscribe::new(Arc::clone(&self.shared), topics)
    }

    /// Subscribes to one topic, as [`subscribe`](Self::subscribe) does to several.
    ///
    /// ```
    /// use tower_sse::{LastEventId, hub::{Hub, Subscription}};
    ///
    /// fn events(hub: &Hub, last: Option<LastEventId>) -> Subscription {
    ///     hub.subscribe_to("news").resume(last)
    /// }
    /// # events(&Hub::new(), None);
    /// ```
    pub fn subscribe_to(&self, topic: impl AsRef<str>) -> Subscribe {
        self.subscribe([topic])
    }

    /// Returns the id of the newest event of all topics, as a position to resume from.
    ///
    /// Take the position first, then read the current state, and render both into a page. A stream
    /// that resumes after the position misses no event; it may repeat one that the state includes.
    ///
    /// - In a browser, `EventSource` cannot set headers. Send the id in the query, and enable
    ///   [`SseLayer::last_event_id_query`](crate::SseLayer::last_event_id_query).
    /// - In code, use `LastEventId::from(hub.position())`.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.shared.position(self.shared.committed()).into()
    }

    /// Returns the number of subscriptions of a topic.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.registry.get(topic).map_or(0, |topic| topic.lock().subscribers)
    }

    /// Returns the names of the topics that have subscriptions or keep events, in no particular
    /// order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared.registry.all().iter().map(|topic| Arc::clone(topic.name())).collect()
    }

    /// Closes the hub: publishing fails from now on, and each subscription ends after the events
    /// published before.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    pub(super) fn new(registry: Registry, fault: Fault) -> Self {
        let epoch = Epoch::now();
        Self {
            epoch,
            id_prefix: format!("{epoch}-"),
            registry,
            committed: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            newest: Mutex::default(),
            started: Instant::now(),
            fault,
        }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Acquire)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    pub(super) const fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }

    /// Returns the time since the hub was created.
    pub(super) fn now(&self) -> Duration {
        // loom repeats each execution, which has to be deterministic.
        if cfg!(tower_sse_loom) { Duration::ZERO } else { self.started.elapsed() }
    }

    /// Calls `with` while holding the topic's lock.
    pub(super) fn with_topic<R>(
        &self,
        name: &str,
        mut with: impl FnMut(&Arc<Topic>, &mut TopicState) -> R,
    ) -> R {
        loop {
            let topic = self.registry.get_or_add(name);
            let mut state = topic.lock();
            if !state.is_removed {
                return with(&topic, &mut state);
            }
        }
    }

    fn publish(&self, name: &str, event: &Event) -> Result<Receipt, PublishError> {
        if self.is_closed() {
            return Err(PublishError::Closed);
        }
        let mut block = event.encode_open(self.id_prefix.len());
        let now = self.now();
        let mut drops = DeferredDrops::default();
        let (published, is_used) = self.with_topic(name, |topic, state| {
            let published = self.commit(topic).map(|sequence| {
                // Committed already: a reader that looks for it waits for the topic's lock.
                let bytes = block.end_with_id(&self.id_prefix, sequence);
                state.log.append(sequence, bytes, now, &mut drops);
                (sequence, state.subscribers, topic.take_waiters(state))
            });
            (published, state.is_used())
        });
        // The event was not kept, or not published: the topic may exist only for it.
        if !is_used && let Some(topic) = self.registry.get(name) {
            self.registry.remove_unused(&topic);
        }
        let (sequence, subscribers, waiters) = published?;
        if self.fault.commits_after_unlock() {
            self.committed.fetch_max(sequence, Release);
        }
        waiters.wake();
        self.registry.evict(now, &mut drops);
        Ok(Receipt { position: self.position(sequence), subscribers })
    }

    /// Assigns the next sequence number to an event of a topic. The caller holds the topic's lock,
    /// and appends the event before it releases it.
    fn commit(&self, topic: &Topic) -> Result<u64, PublishError> {
        let mut newest = lock(&self.newest);
        if self.is_closed() {
            return Err(PublishError::Closed);
        }
        *newest += 1;
        topic.set_newest(*newest);
        if !self.fault.commits_after_unlock() {
            self.committed.store(*newest, Release);
        }
        Ok(*newest)
    }

    fn close(&self) {
        {
            // Locked, so that each event is published before the close or fails.
            let _newest = lock(&self.newest);
            self.closed.store(true, Release);
        }
        for topic in self.registry.all() {
            let waiters = topic.take_waiters(&mut topic.lock());
            waiters.wake();
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("epoch", &self.shared.epoch)
            .field("committed", &self.shared.committed())
            .field("closed", &self.shared.is_closed())
            .field("registry", &self.shared.registry)
            .finish()
    }
}
