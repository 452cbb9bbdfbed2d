use std::task::Waker;

use super::Subscription;
use crate::history::drop_waker;

impl Subscription {
    /// Starts to wait for the next event in each topic. Returns `false` if there is something to
    /// read.
    pub(super) fn wait(&mut self, waker: &Waker) -> bool {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            for cursor in &mut self.cursors {
                cursor.stop_waiting();
            }
            drop_waker(self.waker.replace(waker.clone()));
        }
        if self.hub.fault.sleeps_on_uncommitted() {
            self.cursors.iter_mut().for_each(|cursor| cursor.wait_unchecked(waker));
            return true;
        }
        for cursor in &mut self.cursors {
            let waits =
                if cursor.is_waiting() { cursor.is_caught_up() } else { cursor.wait(waker) };
            if !waits {
                return false;
            }
        }
        // A close and a loss wake the waiters of all topics. Check for them now that the
        // subscription waits in each topic, because earlier it would have missed the wake-up.
        let has_loss = !self.hub.fault.sleeps_on_loss() && self.unreported_loss().is_some();
        !self.hub.is_closed() && !has_loss
    }
}
