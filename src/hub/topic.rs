use std::sync::{Arc, atomic::AtomicUsize};

use super::{
    log::Log,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering::Acquire, Ordering::Release, lock},
    waiters::{Waiters, WakeList},
};

/// A topic: its events, and who waits for the next.
#[derive(Debug)]
pub(super) struct Topic {
    name: Arc<str>,
    /// The newest event that was ever published to it. What is not newer than what somebody has
    /// seen is passed by without a lock.
    newest: AtomicU64,
    /// The generation of the list of those who wait: who is still in it need not look into it.
    generation: AtomicU64,
    /// Where it is in the list of those in which something is kept; changed under that list's lock
    /// alone.
    pub(super) keeper_index: AtomicUsize,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) log: Log,
    pub(super) subscribers: usize,
    /// It is no longer in the hub: who still has it must look again.
    pub(super) removed: bool,
    waiters: Waiters,
}

impl Topic {
    pub(super) fn new(name: Arc<str>, log: Log) -> Self {
        Self {
            name,
            newest: AtomicU64::new(log.lost_to()),
            generation: AtomicU64::new(0),
            keeper_index: AtomicUsize::new(usize::MAX),
            state: Mutex::new(TopicState {
                log,
                subscribers: 0,
                removed: false,
                waiters: Waiters::default(),
            }),
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TopicState> {
        lock(&self.state)
    }

    /// Lets readers know of the newest event, with the lock held.
    pub(super) fn set_newest(&self, newest: u64) {
        self.newest.store(newest, Release);
    }

    /// Empties the list of those who wait, to be woken outside of all locks.
    pub(super) fn take_waiters(&self, state: &mut TopicState) -> WakeList {
        let woken = state.waiters.take();
        if !woken.is_none() {
            self.generation.store(state.waiters.generation(), Release);
        }
        woken
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }
}

impl TopicState {
    /// Somebody subscribes to it, or something is kept in it.
    pub(super) fn is_used(&self) -> bool {
        self.subscribers > 0 || !self.log.is_empty()
    }

    pub(super) const fn waiters(&mut self) -> &mut Waiters {
        &mut self.waiters
    }
}
