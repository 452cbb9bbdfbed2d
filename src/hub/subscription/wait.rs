use std::task::Waker;

use super::subscription::{Subscription, Wait};
use crate::history::drop_waker;

/// The number of topics in which one poll starts to wait before the subscription yields. This takes
/// up to a millisecond.
const WAITS_PER_POLL: usize = 4096;

impl Subscription {
    /// Starts to wait for the next event in each topic, unless one has been published meanwhile.
    ///
    /// If this takes several polls, the last one checks the earlier topics again, because their
    /// events may have woken only an earlier poll.
    pub(super) fn wait(&mut self, waker: &Waker) -> Wait {
        let is_other = self.waker.as_ref().is_some_and(|own| !own.will_wake(waker));
        if is_other || self.waker.is_none() {
            for cursor in self.cursors.iter_mut() {
                cursor.stop_waiting();
            }
            drop_waker(self.waker.replace(waker.clone()));
        }
        let mut started = 0;
        for cursor in self.cursors.iter_mut() {
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
            // A task with a new waker at each poll starts over each time, so it must not yield
            // here.
            if started == WAITS_PER_POLL && !is_other {
                return Wait::Yield;
            }
        }
        // A close and a loss wake the waiters of all topics. Check for them now that the
        // subscription waits in each topic, because earlier it would have missed the wake-up.
        let has_loss = self.unreported_loss().is_some();
        if self.hub.is_closed() || has_loss { Wait::NotNeeded } else { Wait::Started }
    }
}
