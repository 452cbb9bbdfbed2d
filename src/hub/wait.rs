use std::task::Waker;

use super::Subscription;
use crate::history::drop_waker;

/// How many topics one poll starts to wait in, which takes up to a millisecond.
const WAITS_PER_POLL: usize = 4096;

/// The outcome of an attempt to wait.
pub(super) enum Wait {
    /// The next event of any topic wakes the subscription.
    Started,
    /// There is something to read.
    NotNeeded,
    /// It waits in some topics only: the subscription has to yield to other tasks.
    Yield,
}

impl Subscription {
    /// Waits in each topic for the next event, unless one has been published meanwhile.
    ///
    /// The wait starts in the poll that finds the subscription waiting in every topic: an event
    /// published after an earlier poll may have woken it for that poll.
    pub(super) fn wait(&mut self, waker: &Waker) -> Wait {
        let is_other = self.waker.as_ref().is_some_and(|own| !own.will_wake(waker));
        if is_other || self.waker.is_none() {
            for cursor in &mut self.cursors {
                cursor.stop_waiting();
            }
            drop_waker(self.waker.replace(waker.clone()));
        }
        if self.hub.fault.sleeps_on_uncommitted() {
            self.cursors.iter_mut().for_each(|cursor| cursor.wait_unchecked(waker));
            return Wait::Started;
        }
        let mut started = 0;
        for cursor in &mut self.cursors {
            if cursor.is_waiting() {
                if cursor.is_caught_up() {
                    continue;
                }
                return Wait::NotNeeded;
            }
            if !cursor.wait(waker) {
                return Wait::NotNeeded;
            }
            started += 1;
            // A task with a new waker at each poll would start over each time, and never finish.
            if started == WAITS_PER_POLL && !is_other {
                return Wait::Yield;
            }
        }
        // Both wake the waiters of all topics, so look for them only now that it waits in each.
        let has_loss = !self.hub.fault.sleeps_on_loss() && self.unreported_loss().is_some();
        if self.hub.is_closed() || has_loss { Wait::NotNeeded } else { Wait::Started }
    }
}
