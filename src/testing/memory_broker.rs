use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::{convert::Infallible, ptr, time::Duration};

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
        lock(&self.state).lose_history();
        self.deliver();
    }

    /// Delays events on their way to one hub until you call [`resume`](Self::resume). The hub can
    /// still publish. Meanwhile, the clients of other hubs can get ahead of this hub's clients.
    ///
    /// # Panics
    ///
    /// Panics if the hub is not connected to this broker, or is closed.
    #[track_caller]
    pub fn pause(&self, hub: &Hub) {
        lock(&self.state).connection_of(hub).is_paused.store(true, Relaxed);
    }

    /// Delivers the delayed events to a [paused](Self::pause) hub and ends the delay.
    ///
    /// # Panics
    ///
    /// Panics if the hub is not connected to this broker, or is closed.
    #[track_caller]
    pub fn resume(&self, hub: &Hub) {
        lock(&self.state).connection_of(hub).is_paused.store(false, Relaxed);
        self.deliver();
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

    /// Delivers to each hub that isn't paused what it has not received. The caller must hold no
    /// lock.
    fn deliver(&self) {
        let connections = lock(&self.state).open_connections();
        connections.iter().for_each(|connection| connection.deliver(&self.state));
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

    async fn start(self, mut feed: Feed) -> Result<MemoryPublisher, Infallible> {
        let old = lock(&self.state).newest_older_than(feed.max_age());
        let hub = feed.hub().0.upgrade();
        let retained = hub.map_or(Duration::ZERO, |hub| hub.topics.retention.of_ended());
        if old > 0 {
            // A client that resumes from before the hub's history receives a gap.
            _ = feed.report_loss(old);
        }
        let connection = Arc::new(Connection::new(feed, old));
        connection.deliver(&self.state);
        lock(&self.state).connections.push(Arc::clone(&connection));
        // Something may have been published before the state had this connection.
        connection.deliver(&self.state);
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
        let (published, is_acknowledged) = {
            let mut state = lock(&self.broker.state);
            if take_one(&mut state.events_to_refuse) {
                return Err(PublishError::Refused(BoxError::from("refused by the test")));
            }
            let ended = state.ended.get(&publication.topic);
            if ended.is_some_and(|at| at.elapsed() < self.retained) {
                return Err(PublishError::Ended);
            }
            let published = state.append(publication, self.broker.created);
            (published, !take_one(&mut state.acknowledgements_to_lose))
        };
        self.broker.deliver();
        if is_acknowledged {
            Ok(Acknowledged::new(published.sequence, published.at))
        } else {
            Err(PublishError::Unknown(BoxError::from("acknowledgement lost by the test")))
        }
    }

    fn newest_possible(&self, _committed: u64) -> u64 {
        lock(&self.broker.state).newest()
    }
}

opaque_debug!(MemoryBroker);

#[derive(Default)]
struct BrokerState {
    /// Events up to this sequence number are lost.
    lost: u64,
    /// The events that were published after the lost events, with consecutive sequence numbers.
    history: Vec<Arc<Published>>,
    ended: HashMap<String, Instant>,
    connections: Vec<Arc<Connection>>,
    events_to_refuse: usize,
    acknowledgements_to_lose: usize,
}

impl BrokerState {
    const fn newest(&self) -> u64 {
        self.lost + self.history.len() as u64
    }

    fn append(&mut self, publication: Publication, created: Instant) -> Arc<Published> {
        let now = Instant::now();
        if publication.ends_topic {
            self.ended.insert(publication.topic.clone(), now);
        }
        let (sequence, at) = (self.newest() + 1, now.duration_since(created));
        let published = Arc::new(Published { publication, sequence, at, instant: now });
        self.history.push(Arc::clone(&published));
        published
    }

    fn lose_history(&mut self) {
        self.lost = self.newest() + 1;
        self.history.clear();
        self.ended.clear();
    }

    /// Returns the sequence number of the newest event that is older than `age`, or 0 if none is.
    fn newest_older_than(&self, age: Duration) -> u64 {
        let is_old = |published: &Arc<Published>| published.instant.elapsed() > age;
        match self.history.partition_point(is_old) {
            0 => 0,
            old => self.lost + old as u64,
        }
    }

    fn open_connections(&mut self) -> Vec<Arc<Connection>> {
        self.connections.retain(|connection| !connection.closed.is_cancelled());
        self.connections.clone()
    }

    #[track_caller]
    fn connection_of(&mut self, hub: &Hub) -> Arc<Connection> {
        let feeds = |it: &Arc<Connection>| ptr::eq(it.hub.as_ptr(), Arc::as_ptr(&hub.shared));
        match self.open_connections().into_iter().find(feeds) {
            Some(connection) => connection,
            // A mistake in the test, which would otherwise prove nothing.
            None => panic!("hub is not connected to this broker, or is closed"),
        }
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
    is_paused: AtomicBool,
    /// The sequence number up to which the hub has been fed.
    fed: AtomicU64,
    /// Locked while items are fed. The broker's state isn't locked then, because feeding calls
    /// wakers, which can run any code.
    feed: Mutex<Feed>,
}

impl Connection {
    fn new(feed: Feed, fed: u64) -> Self {
        let (hub, closed) = feed.hub();
        let (hub, closed) = (hub.clone(), closed.clone());
        let is_paused = AtomicBool::new(false);
        Self { hub, closed, is_paused, fed: AtomicU64::new(fed), feed: Mutex::new(feed) }
    }

    /// Feeds the hub what it has not received, unless it's paused or another caller is feeding it.
    fn deliver(&self, state: &Mutex<BrokerState>) {
        // Checked again once the feed is unlocked: another caller may have added an item while the
        // feed was locked, and returned.
        while self.next(state).is_some() {
            let mut feed = match self.feed.try_lock() {
                Ok(feed) => feed,
                Err(TryLockError::Poisoned(feed)) => feed.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while let Some(item) = self.next(state) {
                self.feed_item(&mut feed, item);
            }
        }
    }

    fn feed_item(&self, feed: &mut Feed, item: Item) {
        // A closed hub accepts no events. Its connection is removed before the next delivery.
        _ = match item {
            Item::Event(published) => {
                let Published { publication, sequence, at, instant } = &*published;
                let Publication { topic, event, ends_topic } = publication;
                let arrival = Arrival::new(*sequence, *at, instant.elapsed());
                self.fed.store(*sequence, Relaxed);
                feed.event(arrival.ends_topic(*ends_topic), topic, event)
            }
            Item::Loss(sequence) => {
                self.fed.store(sequence, Relaxed);
                feed.report_loss(sequence)
            }
        };
    }

    fn next(&self, state: &Mutex<BrokerState>) -> Option<Item> {
        let (state, fed) = (lock(state), self.fed.load(Relaxed));
        if self.is_paused.load(Relaxed) {
            return None;
        }
        match fed.checked_sub(state.lost) {
            None => Some(Item::Loss(state.lost)),
            Some(index) => state.history.get(index as usize).cloned().map(Item::Event),
        }
    }
}
