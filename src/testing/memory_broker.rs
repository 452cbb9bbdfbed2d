use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::{convert::Infallible, ptr, sync::atomic::AtomicU64};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hub::broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher};
use crate::hub::{Hub, HubState, PublishError};
use crate::{BoxError, lock::lock};

/// An in-memory [`Broker`], for tests of programs whose processes share a broker. Connect each hub
/// with a clone: all clones share the events. A test can make the broker fail as a real one does.
///
/// ```
/// use tower_sse::{Event, hub::{Hub, PublishError}, testing::MemoryBroker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// let one = Hub::connect(broker.clone()).await?;
/// let other = Hub::connect(broker.clone()).await?;
///
/// let receipt = one.publish("news", "hello").await?;
/// assert_eq!(other.position(), receipt.id());
///
/// broker.refuse(1);
/// assert!(matches!(one.publish("news", "again").await, Err(PublishError::Refused(_))));
/// # Ok(())
/// # }
/// ```
///
/// On a current-thread runtime, each hub has received the event when `publish` returns, except
/// [paused](Self::pause) hubs. On a multi-threaded runtime, another thread may still be delivering
/// the event. When a hub connects, it loads the events within the age limit of its
/// [`retention`](crate::hub::HubBuilder::retention). The broker keeps all events until you call
/// [`lose_history`](Self::lose_history).
#[derive(Clone)]
pub struct MemoryBroker {
    state: Arc<Mutex<BrokerState>>,
    created: Instant,
    /// A number that makes the ids of two brokers differ.
    number: u64,
}

impl MemoryBroker {
    /// Creates a broker without events.
    #[must_use]
    pub fn new() -> Self {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        Self {
            state: Arc::default(),
            created: Instant::now(),
            number: CREATED.fetch_add(1, Relaxed),
        }
    }

    /// Loses all events, like a broker that restarts without its data. Each subscription first
    /// receives the unread events that its hub still has, and then a [gap](crate::hub::GapPolicy)
    /// for each of its topics. A [paused](Self::pause) hub loses its delayed events too, and its
    /// clients get the gap after [`resume`](Self::resume).
    pub fn lose_history(&self) {
        let connections = lock(&self.state).lose_history();
        connections.iter().for_each(|connection| connection.deliver());
    }

    /// Delays events on their way to one hub until you call [`resume`](Self::resume). The hub can
    /// still publish. Meanwhile, the clients of other hubs can get ahead of this hub's clients.
    ///
    /// # Panics
    ///
    /// Panics if the hub is not connected to this broker, or is closed.
    #[track_caller]
    pub fn pause(&self, hub: &Hub) {
        lock(&self.state).connection_of(hub).set_paused(true);
    }

    /// Delivers the delayed events to a [paused](Self::pause) hub and ends the delay.
    ///
    /// # Panics
    ///
    /// Panics if the hub is not connected to this broker, or is closed.
    #[track_caller]
    pub fn resume(&self, hub: &Hub) {
        let connection = lock(&self.state).connection_of(hub);
        connection.set_paused(false);
        connection.deliver();
    }

    /// Makes publishing the next `events` events fail with [`PublishError::Refused`].
    pub fn refuse(&self, events: usize) {
        lock(&self.state).events_to_refuse = events;
    }

    /// Makes publishing the next `events` events fail with [`PublishError::Unknown`], although the
    /// broker publishes them.
    pub fn lose_acknowledgements(&self, events: usize) {
        lock(&self.state).acknowledgements_to_lose = events;
    }
}

const fn take_one(count: &mut usize) -> bool {
    let is_above_zero = *count > 0;
    *count = count.saturating_sub(1);
    is_above_zero
}

impl Broker for MemoryBroker {
    type Publisher = MemoryPublisher;
    type Error = Infallible;

    fn name(&self) -> String {
        format!("memory:{}", self.number)
    }

    async fn start(self, feed: Feed) -> Result<MemoryPublisher, Infallible> {
        let retained = feed.max_age();
        let connection = lock(&self.state).connect(feed);
        connection.load();
        Ok(MemoryPublisher { broker: self, retained })
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
pub struct MemoryPublisher {
    broker: MemoryBroker,
    retained: Duration,
}

impl Publisher for MemoryPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let (published, is_acknowledged, connections) = {
            let mut state = lock(&self.broker.state);
            if take_one(&mut state.events_to_refuse) {
                return Err(PublishError::Refused(BoxError::from("refused by the test")));
            }
            let ended = state.ended.get(&publication.topic);
            if ended.is_some_and(|at| at.elapsed() < self.retained) {
                return Err(PublishError::Ended);
            }
            let (published, connections) = state.append(publication, self.broker.created);
            let is_acknowledged = !take_one(&mut state.acknowledgements_to_lose);
            (published, is_acknowledged, connections)
        };
        connections.iter().for_each(|connection| connection.deliver());
        if is_acknowledged {
            Ok(Acknowledged::new(published.sequence, published.at))
        } else {
            Err(PublishError::Unknown(BoxError::from("acknowledgement lost by the test")))
        }
    }

    fn newest_possible(&self, _committed: u64) -> u64 {
        lock(&self.broker.state).newest
    }
}

opaque_debug!(MemoryBroker);

#[derive(Default)]
struct BrokerState {
    newest: u64,
    /// Events up to this sequence number are lost.
    lost: u64,
    history: Vec<Arc<Published>>,
    ended: HashMap<String, Instant>,
    connections: Vec<Arc<Connection>>,
    events_to_refuse: usize,
    acknowledgements_to_lose: usize,
}

impl BrokerState {
    /// Appends an event. Returns the connections to which the caller delivers it once the state is
    /// unlocked.
    fn append(
        &mut self,
        publication: Publication,
        created: Instant,
    ) -> (Arc<Published>, Vec<Arc<Connection>>) {
        self.newest += 1;
        let now = Instant::now();
        if publication.ends_topic {
            self.ended.insert(publication.topic.clone(), now);
        }
        let (sequence, at) = (self.newest, now.duration_since(created));
        let published = Arc::new(Published { publication, sequence, at, instant: now });
        self.history.push(Arc::clone(&published));
        let connections = self.open_connections();
        for connection in &connections {
            connection.push(Item::Event(Arc::clone(&published)));
        }
        (published, connections)
    }

    /// Loses all events. Returns the connections to which the caller delivers the loss once the
    /// state is unlocked.
    fn lose_history(&mut self) -> Vec<Arc<Connection>> {
        self.newest += 1;
        self.lost = self.newest;
        self.history.clear();
        self.ended.clear();
        let connections = self.open_connections();
        for connection in &connections {
            connection.clear();
            connection.push(Item::Loss(self.lost));
        }
        connections
    }

    fn open_connections(&mut self) -> Vec<Arc<Connection>> {
        self.connections.retain(|connection| !connection.is_closed());
        self.connections.clone()
    }

    #[track_caller]
    fn connection_of(&mut self, hub: &Hub) -> Arc<Connection> {
        match self.open_connections().into_iter().find(|connection| connection.feeds(hub)) {
            Some(connection) => connection,
            // A mistake in the test, which would otherwise prove nothing.
            None => panic!("hub is not connected to this broker, or is closed"),
        }
    }

    fn connect(&mut self, feed: Feed) -> Arc<Connection> {
        let max_age = feed.max_age();
        let is_old = |published: &Arc<Published>| published.instant.elapsed() > max_age;
        let (old, recent) = self.history.split_at(self.history.partition_point(is_old));
        // A client that resumes from before the hub's history receives a gap.
        let lost = old.last().map_or(self.lost, |published| published.sequence);
        let loss = (lost > 0).then_some(Item::Loss(lost));
        let items = loss.into_iter().chain(recent.iter().cloned().map(Item::Event));
        let connection = Arc::new(Connection::new(feed, items.collect()));
        self.connections.push(Arc::clone(&connection));
        connection
    }
}

struct Published {
    publication: Publication,
    sequence: u64,
    /// The time since the creation of the broker.
    at: Duration,
    instant: Instant,
}

enum Item {
    Event(Arc<Published>),
    /// Each topic may have lost events up to this sequence number.
    Loss(u64),
}

struct Connection {
    hub: Weak<HubState>,
    closed: CancellationToken,
    queue: Mutex<Queue>,
    /// Locked while items are fed. The queue isn't: feeding calls wakers, which can run any code.
    feed: Mutex<Feed>,
}

struct Queue {
    items: VecDeque<Item>,
    is_paused: bool,
}

impl Connection {
    fn new(feed: Feed, items: VecDeque<Item>) -> Self {
        let queue = Queue { items, is_paused: false };
        let (hub, closed) = feed.hub();
        let (hub, closed) = (hub.clone(), closed.clone());
        Self { hub, closed, queue: Mutex::new(queue), feed: Mutex::new(feed) }
    }

    fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    fn feeds(&self, hub: &Hub) -> bool {
        ptr::eq(self.hub.as_ptr(), Arc::as_ptr(&hub.shared))
    }

    fn push(&self, item: Item) {
        lock(&self.queue).items.push_back(item);
    }

    fn clear(&self) {
        lock(&self.queue).items.clear();
    }

    fn set_paused(&self, is_paused: bool) {
        lock(&self.queue).is_paused = is_paused;
    }

    fn load(&self) {
        self.feed_items(&mut lock(&self.feed));
        self.deliver();
    }

    /// Feeds the items, unless another caller does. The caller must hold no lock.
    fn deliver(&self) {
        // Checked again, because another caller may have found the queue empty just before this
        // item was added.
        while self.has_next() {
            let mut feed = match self.feed.try_lock() {
                Ok(feed) => feed,
                Err(TryLockError::Poisoned(feed)) => feed.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.feed_items(&mut feed);
        }
    }

    fn feed_items(&self, feed: &mut Feed) {
        while let Some(item) = self.next() {
            // A closed hub accepts no events. Its connection is removed at the next publish.
            _ = match item {
                Item::Event(published) => {
                    let Published { publication, sequence, at, instant } = &*published;
                    let Publication { topic, event, ends_topic } = publication;
                    let arrival = Arrival::new(*sequence, *at, instant.elapsed());
                    feed.event(arrival.ends_topic(*ends_topic), topic, event)
                }
                Item::Loss(sequence) => feed.report_loss(sequence),
            };
        }
    }

    fn has_next(&self) -> bool {
        let queue = lock(&self.queue);
        !queue.is_paused && !queue.items.is_empty()
    }

    fn next(&self) -> Option<Item> {
        let mut queue = lock(&self.queue);
        if queue.is_paused { None } else { queue.items.pop_front() }
    }
}
