use std::{sync::Arc, task::Waker};

use super::{
    log::{Log, Run, Trash},
    topic::Topic,
    topics::Topics,
    waiters::{Ticket, drop_waker},
};

/// Where a subscription is in one topic.
pub(super) struct Place {
    topic: Arc<Topic>,
    /// The newest event that was given, or told as lost.
    seen: u64,
    /// Where what comes next was when it was looked for; nothing can have come before that meanwhile. 0 if it
    /// was not looked for since something was taken.
    next: u64,
    ticket: Ticket,
    /// A gap is to be told, whatever is kept.
    gap_due: bool,
}

/// What a topic has to give.
pub(super) enum Given {
    Nothing,
    Gap(u64),
    Run(Run),
}

impl Place {
    pub(super) const fn new(topic: Arc<Topic>) -> Self {
        Self { topic, seen: 0, next: 0, ticket: Ticket::NONE, gap_due: false }
    }

    pub(super) const fn begin(&mut self, seen: u64, gap_due: bool) {
        self.seen = seen;
        self.next = 0;
        self.gap_due = gap_due;
    }

    pub(super) const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    pub(super) fn lost_to(&self) -> u64 {
        self.topic.lock().log.lost_to()
    }

    /// Nothing can be new: told without a lock.
    pub(super) fn is_quiet(&self) -> bool {
        !self.gap_due && self.topic.newest() <= self.seen
    }

    /// Where the gap is that has to be told first.
    fn gap(&self, log: &Log) -> Option<u64> {
        let lost = log.lost_after(self.seen);
        if self.gap_due { Some(lost.unwrap_or(self.seen)) } else { lost }
    }

    /// Where what comes next is in the order of the hub, or a place before that.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u64> {
        match self.next {
            0 if self.is_quiet() => None,
            0 => self.look(),
            next => Some(next),
        }
    }

    fn look(&mut self) -> Option<u64> {
        let state = self.topic.lock();
        let next = self.gap(&state.log).or_else(|| state.log.next(self.seen))?;
        drop(state);
        self.next = next;
        Some(next)
    }

    /// Takes the gap at this place, if there is one.
    pub(super) fn take_gap(&mut self, place: u64) -> bool {
        let can_be_there = self.next <= place && !self.is_quiet();
        let is_there = can_be_there && self.gap(&self.topic.lock().log) == Some(place);
        if is_there {
            self.begin(place, false);
        }
        is_there
    }

    /// Takes what comes next, if that is before `bound`.
    pub(super) fn take(&mut self, bound: u64, topics: &Topics, trash: &mut Trash) -> Given {
        let mut state = self.topic.lock();
        self.next = 0;
        match self.gap(&state.log) {
            Some(lost_to) if lost_to < bound => {
                drop(state);
                self.begin(lost_to, false);
                Given::Gap(lost_to)
            }
            Some(_) => Given::Nothing,
            None => {
                let run = topics
                    .account(&self.topic, &mut state.log, |log| log.run(self.seen, bound, trash));
                drop(state);
                match run {
                    Some(run) => {
                        self.seen = run.last;
                        Given::Run(run)
                    }
                    None => Given::Nothing,
                }
            }
        }
    }

    /// Waits for the next event, unless there is one that was not given yet.
    #[inline]
    pub(super) fn wait(&mut self, waker: &Waker) -> bool {
        if self.ticket.is_of(self.topic.generation()) {
            self.is_quiet()
        } else {
            self.enlist(waker)
        }
    }

    fn enlist(&mut self, waker: &Waker) -> bool {
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
