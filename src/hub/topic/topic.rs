use std::{sync::Arc, task::Waker};

use super::place::Place;
use crate::history::{
    Log, Ticket, Waiters, WakeList,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering::Acquire, Ordering::Release, lock},
};

/// A topic: its log, and the subscribers that wait for its next event.
#[derive(Debug)]
pub(crate) struct Topic {
    name: Arc<str>,
    /// The sequence number of the topic's newest event. Before the first event, it is the newest
    /// that an earlier topic of this name evicted, or an upper bound of that. A subscriber that has
    /// seen it skips the topic without locking it.
    newest: AtomicU64,
    /// A copy of the waiters' generation, so that a subscriber can check without the lock whether
    /// its ticket is still valid.
    generation: AtomicU64,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) log: Log,
    pub(crate) subscribers: usize,
    /// Whether the topic was removed from the registry, so that its name has to be looked up again.
    pub(crate) is_removed: bool,
    /// The topic's place in the eviction queue while it keeps events.
    pub(super) place: Option<Place>,
    waiters: Waiters,
}

impl Topic {
    pub(crate) fn new(name: Arc<str>, log: Log) -> Self {
        Self {
            name,
            newest: AtomicU64::new(log.evicted().up_to),
            generation: AtomicU64::new(0),
            state: Mutex::new(TopicState {
                log,
                subscribers: 0,
                is_removed: false,
                place: None,
                waiters: Waiters::default(),
            }),
        }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, TopicState> {
        lock(&self.state)
    }

    /// Sets the newest sequence number, which readers load without a lock. The caller holds the
    /// topic's lock.
    pub(crate) fn set_newest(&self, newest: u64) {
        self.newest.store(newest, Release);
    }

    /// Locks the topic and adds a waiter if `is_needed` then returns `true`. Otherwise it returns
    /// the waker, which the caller drops.
    #[inline]
    pub(crate) fn add_waiter(
        &self,
        waker: Waker,
        is_needed: impl FnOnce() -> bool,
    ) -> Result<Ticket, Waker> {
        let mut state = self.lock();
        if is_needed() { Ok(state.waiters.add(waker)) } else { Err(waker) }
    }

    /// Locks the topic and removes a waiter. The caller drops the returned waker without a lock.
    #[inline]
    pub(crate) fn remove_waiter(&self, ticket: Ticket) -> Option<Waker> {
        self.lock().waiters.remove(ticket)
    }

    /// Takes all waiters out of `state`, which the caller has locked. The caller wakes them after
    /// releasing all locks.
    pub(crate) fn take_waiters(&self, state: &mut TopicState) -> WakeList {
        let waiters = state.waiters.take();
        if !waiters.is_empty() {
            self.generation.store(state.waiters.generation(), Release);
        }
        waiters
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }
}

impl TopicState {
    /// Returns whether the topic has subscribers or keeps events.
    pub(crate) fn is_used(&self) -> bool {
        self.subscribers > 0 || !self.log.is_empty()
    }
}
