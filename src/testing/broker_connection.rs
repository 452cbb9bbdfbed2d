use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::{collections::VecDeque, ptr, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hub::broker::{Arrival, Feed, Publication};
use crate::hub::{Hub, HubState};
use crate::lock::lock;

/// An event that a [`MemoryBroker`](super::MemoryBroker) has published.
pub(super) struct Published {
    pub(super) publication: Publication,
    pub(super) sequence: u64,
    /// The time since the creation of the broker.
    pub(super) at: Duration,
    pub(super) instant: Instant,
}

/// What a broker gives to a hub.
pub(super) enum Item {
    Event(Arc<Published>),
    /// Each topic may have lost events up to this sequence number.
    Loss(u64),
}

/// The connection of one hub: the items on their way to it.
pub(super) struct Connection {
    hub: Weak<HubState>,
    closed: CancellationToken,
    queue: Mutex<Queue>,
    /// Locked while items are fed. The queue is not locked then: feeding wakes tasks, which can run
    /// any code.
    feed: Mutex<Feed>,
}

struct Queue {
    items: VecDeque<Item>,
    is_paused: bool,
}

impl Connection {
    pub(super) fn new(feed: Feed, items: VecDeque<Item>) -> Self {
        let queue = Queue { items, is_paused: false };
        let (hub, closed) = feed.hub();
        let (hub, closed) = (hub.clone(), closed.clone());
        Self { hub, closed, queue: Mutex::new(queue), feed: Mutex::new(feed) }
    }

    /// Returns whether the hub is closed or dropped.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns whether this is the connection of `hub`.
    pub(super) fn feeds(&self, hub: &Hub) -> bool {
        ptr::eq(self.hub.as_ptr(), Arc::as_ptr(&hub.shared))
    }

    pub(super) fn push(&self, item: Item) {
        lock(&self.queue).items.push_back(item);
    }

    /// Drops the items that have not reached the hub.
    pub(super) fn clear(&self) {
        lock(&self.queue).items.clear();
    }

    pub(super) fn set_paused(&self, is_paused: bool) {
        lock(&self.queue).is_paused = is_paused;
    }

    /// Feeds all items, and returns once they are fed.
    pub(super) fn load(&self) {
        self.feed_items(&mut lock(&self.feed));
        self.deliver();
    }

    /// Feeds the items, unless another caller does. The caller holds no lock.
    pub(super) fn deliver(&self) {
        // Check again: the other caller may have found the queue empty just before an item was
        // added.
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
            // A closed hub accepts no events; its connection is removed when the next event is
            // published.
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
