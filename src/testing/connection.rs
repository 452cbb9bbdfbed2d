use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, TryLockError},
};

use tokio::time::Instant;

use crate::{
    event::Event,
    hub::{Arrival, Feed},
    lock::lock,
};

/// An event that a [`MemoryBroker`](super::MemoryBroker) has published.
pub(super) struct Published {
    pub(super) topic: String,
    pub(super) event: Event,
    /// What hubs know of it. The age is that at its publication, and the clock starts at the creation
    /// of the broker.
    pub(super) arrival: Arrival,
    pub(super) at: Instant,
}

/// What a broker gives to a hub.
pub(super) enum Item {
    Event(Arc<Published>),
    /// Each topic may have lost events up to this sequence number.
    Loss(u64),
}

/// The connection of one hub: the items on their way to it.
pub(super) struct Connection {
    pub(super) feed: Feed,
    queue: Mutex<Queue>,
    /// Locked while items are fed, so that they are fed one after another. The queue is not locked
    /// then: feeding wakes tasks, which can run any code.
    feeding: Mutex<()>,
}

struct Queue {
    items: VecDeque<Item>,
    is_paused: bool,
}

impl Connection {
    pub(super) fn new(feed: Feed, items: VecDeque<Item>) -> Self {
        let queue = Queue { items, is_paused: false };
        Self { feed, queue: Mutex::new(queue), feeding: Mutex::default() }
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
        {
            let _feeding = lock(&self.feeding);
            self.feed_items();
        }
        self.deliver();
    }

    /// Feeds the items, unless another caller does. The caller holds no lock.
    pub(super) fn deliver(&self) {
        // Check again: the other caller may have found the queue empty just before an item was
        // added.
        while self.has_next() {
            let _feeding = match self.feeding.try_lock() {
                Ok(feeding) => feeding,
                Err(TryLockError::Poisoned(feeding)) => feeding.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.feed_items();
        }
    }

    fn feed_items(&self) {
        while let Some(item) = self.next() {
            // A closed hub accepts no events; its connection is removed when the next event is
            // published.
            _ = match item {
                Item::Event(published) => {
                    let Published { topic, event, arrival, at } = &*published;
                    self.feed.event(Arrival { age: at.elapsed(), ..*arrival }, topic, event)
                }
                Item::Loss(sequence) => self.feed.report_loss(sequence),
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
