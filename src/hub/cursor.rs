use std::{sync::Arc, task::Waker};

use super::{
    deferred_drops::DeferredDrops,
    log::{Log, Run},
    registry::Topics,
    topic::Topic,
    waiters::{Ticket, drop_waker},
};

/// Where a subscription is in one topic.
pub(super) struct TopicCursor {
    topic: Arc<Topic>,
    /// The newest event that was given, or told as lost.
    seen: u64,
    ticket: Ticket,
    /// A gap is to be told, whatever is kept.
    gap_due: bool,
    /// It is in the subscription's [`Upcoming`](super::upcoming::Upcoming).
    pub(super) is_listed: bool,
}

/// What a topic has to give.
pub(super) enum Given {
    Nothing,
    Gap(u64),
    Run(Run),
}

impl TopicCursor {
    pub(super) const fn new(topic: Arc<Topic>) -> Self {
        Self { topic, seen: 0, ticket: Ticket::NONE, gap_due: false, is_listed: false }
    }

    pub(super) const fn begin(&mut self, seen: u64, gap_due: bool) {
        self.seen = seen;
        self.gap_due = gap_due;
    }

    pub(super) const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    pub(super) fn lost_to(&self) -> u64 {
        self.topic.lock().log.lost_to()
    }

    /// Nothing can be new: told without a lock.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        !self.gap_due && self.topic.newest() <= self.seen
    }

    /// Where the gap is that has to be told first.
    fn gap(&self, log: &Log) -> Option<u64> {
        let lost = log.lost_after(self.seen);
        if self.gap_due { Some(lost.unwrap_or(self.seen)) } else { lost }
    }

    /// Returns where what comes next is in the order of the hub.
    pub(super) fn next(&self) -> Option<u64> {
        if self.is_quiet() {
            return None;
        }
        let log = &self.topic.lock().log;
        self.gap(log).or_else(|| log.next(self.seen))
    }

    /// Whether its next gap is at this place.
    pub(super) fn has_gap(&self, place: u64) -> bool {
        !self.is_quiet() && self.gap(&self.topic.lock().log) == Some(place)
    }

    /// Takes what comes next, if that is before `bound`, and returns where what comes then is.
    pub(super) fn take(
        &mut self,
        bound: u64,
        topics: &Topics,
        trash: &mut DeferredDrops,
    ) -> (Given, Option<u64>) {
        let mut state = self.topic.lock();
        let log = &mut state.log;
        match self.gap(log) {
            Some(lost_to) if lost_to < bound => {
                let next = log.next(lost_to);
                drop(state);
                self.begin(lost_to, false);
                (Given::Gap(lost_to), next)
            }
            Some(lost_to) => (Given::Nothing, Some(lost_to)),
            None => {
                match topics.account(&self.topic, log, |log| log.run(self.seen, bound, trash)) {
                    Some(run) => {
                        drop(state);
                        self.seen = run.last;
                        let next = run.next;
                        (Given::Run(run), next)
                    }
                    None => (Given::Nothing, log.next(self.seen)),
                }
            }
        }
    }

    /// Whether the next event wakes the subscription.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.ticket.is_of(self.topic.generation())
    }

    /// Waits for the next event, unless there is one that was not given yet.
    pub(super) fn enlist(&mut self, waker: &Waker) -> bool {
        // Wakers are cloned and dropped outside of locks: either can run anybody's code.
        let waker = waker.clone();
        let mut state = self.topic.lock();
        if !self.is_quiet() {
            drop(state);
            drop_waker(Some(waker));
            return false;
        }
        self.ticket = state.waiters().add(waker);
        true
    }

    #[cfg(tower_sse_loom)]
    pub(super) fn wait_anyhow(&mut self, waker: &Waker) {
        self.ticket = self.topic.lock().waiters().add(waker.clone());
    }

    pub(super) fn stop_waiting(&mut self) {
        let waker = self.topic.lock().waiters().remove(self.ticket);
        self.ticket = Ticket::NONE;
        drop_waker(waker);
    }
}
