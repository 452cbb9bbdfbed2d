use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    HubBuilder, PublishError, Receipt, Subscribe,
    deferred_drops::DeferredDrops,
    position::{Epoch, Position},
    registry::Topics,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering::Acquire, Ordering::Release, lock},
    topic::Topic,
};
use crate::{
    BoxError,
    event::{Event, EventId},
};

/// Topics to which events are published, and to which clients subscribe; cheap to clone.
///
/// Subscriptions do not end when the last `Hub` is dropped, only when it is [closed](Self::close).
///
/// The manual page is the [module's](super).
#[derive(Clone)]
#[doc(alias = "broadcast")]
#[doc(alias = "channel")]
pub struct Hub {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) epoch: Epoch,
    /// What all ids begin with.
    id_prefix: String,
    pub(super) topics: Topics,
    /// Everything up to here can be read. It moves while the lock of the topic is held whose event it
    /// is: who has seen an event of a topic also sees that it is committed.
    committed: AtomicU64,
    closed: AtomicBool,
    /// The order of all topics; taken with the lock of a topic held.
    order: Mutex<Order>,
    started: Instant,
    #[cfg(tower_sse_loom)]
    pub(super) broken: super::Broken,
}

#[derive(Debug, Default)]
struct Order {
    newest: u64,
}

impl Hub {
    /// A hub whose topics keep 1,024 events, 1 MiB and 5 minutes each, and 64 MiB together.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A hub that keeps other amounts.
    pub const fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    pub(super) const fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes an event: everybody who subscribes to the topic gets it, and for as long as it is kept
    /// everybody who comes back. Nobody waits for a client that is slow.
    ///
    /// It is ready at once; it is `async` so that other hubs, which are not in the process, can have the same
    /// method. [`publish_now`](Self::publish_now) is the same for code that is not.
    ///
    /// # Errors
    ///
    /// If the event has no data, or an id of its own, or the hub is [closed](Self::close).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was polled, nothing was published.
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

    /// As [`publish`](Self::publish), for code that is not asynchronous. It waits for nothing but short
    /// locks. It wakes whoever sleeps in the topic, and now and then it
    /// [makes room](HubBuilder::max_memory).
    ///
    /// # Errors
    ///
    /// If the event has no data, or an id of its own, or the hub is [closed](Self::close).
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

    /// Subscribes to topics, each named once or more often; see [`Subscribe`] for where it begins. To one topic it is
    /// `hub.subscribe(["news"])`.
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

    /// The id of the newest event, whatever its topic, as a place to begin at: rendered into a page together
    /// with what the page shows, a stream that resumes after it misses nothing in between.
    ///
    /// No script can give an `EventSource` a header, so the page sends it in the query, which
    /// [`SseLayer::last_event_id_query`](crate::SseLayer::last_event_id_query) lets in. In code it is
    /// `LastEventId::from(hub.position())`.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.shared.position(self.shared.committed()).into()
    }

    /// How many subscriptions a topic has.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.topics.get(topic).map_or(0, |topic| topic.lock().subscribers)
    }

    /// The names of the topics that have subscriptions, or keep events, in no order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared.topics.all().iter().map(|topic| Arc::clone(topic.name())).collect()
    }

    /// Ends every subscription once it has given what was published before. Nothing can be published any more.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    pub(super) fn new(topics: Topics) -> Self {
        let epoch = Epoch::now();
        Self {
            epoch,
            id_prefix: format!("{epoch}-"),
            topics,
            committed: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            order: Mutex::default(),
            started: Instant::now(),
            #[cfg(tower_sse_loom)]
            broken: super::Broken::Not,
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

    /// The time since the hub was made.
    pub(super) fn now(&self) -> Duration {
        // loom repeats a run, and it has to be the same.
        if cfg!(tower_sse_loom) { Duration::ZERO } else { self.started.elapsed() }
    }

    /// The topic of this name, with its lock held by whoever `with` is.
    pub(super) fn with_topic<R>(
        &self,
        name: &str,
        mut with: impl FnMut(&Arc<Topic>, &mut super::topic::TopicState) -> R,
    ) -> R {
        loop {
            let topic = self.topics.get_or_add(name);
            let mut state = topic.lock();
            if !state.removed {
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
        let mut trash = DeferredDrops::default();
        let (published, is_used) = self.with_topic(name, |topic, state| {
            let sequence = self.topics.account(topic, &mut state.log, |log| {
                let mut order = lock(&self.order);
                if self.is_closed() {
                    return Err(PublishError::Closed);
                }
                order.newest += 1;
                let sequence = order.newest;
                log.push(sequence, block.end_with_id(&self.id_prefix, sequence), now);
                topic.set_newest(sequence);
                #[cfg(tower_sse_loom)]
                if self.broken == super::Broken::CommitsLate {
                    return Ok(sequence);
                }
                self.committed.store(sequence, Release);
                drop(order);
                log.trim(now, &mut trash);
                Ok(sequence)
            });
            let published =
                sequence.map(|sequence| (sequence, state.subscribers, topic.take_waiters(state)));
            (published, state.is_used())
        });
        // It may have come into being for an event that was not kept.
        if !is_used && let Some(topic) = self.topics.get(name) {
            self.topics.remove_unused(&topic);
        }
        let (sequence, subscribers, woken) = published?;
        #[cfg(tower_sse_loom)]
        if self.broken == super::Broken::CommitsLate {
            self.committed.fetch_max(sequence, Release);
        }
        woken.wake();
        self.topics.sweep(now, &mut trash);
        Ok(Receipt { position: self.position(sequence), subscribers })
    }

    fn close(&self) {
        {
            let _order = lock(&self.order);
            self.closed.store(true, Release);
        }
        for topic in self.topics.all() {
            let woken = topic.take_waiters(&mut topic.lock());
            woken.wake();
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
            .field("topics", &self.shared.topics)
            .finish()
    }
}
