use std::task::Waker;

use super::{Subscription, waiters::drop_waker};

/// In how many more topics it waits after one poll, which takes up to a millisecond.
const LISTED_AT_ONCE: usize = 4096;

/// Whether a subscription that has nothing to give waits now.
pub(super) enum Sleep {
    Begins,
    /// There is something to give.
    IsNotDue,
    /// It waits in many more topics now, and not in all: other tasks have to run.
    IsInterrupted,
}

impl Subscription {
    /// Waits in every topic for the next event; not if one has come meanwhile.
    ///
    /// It begins in the poll that has found it waiting in all topics: an event that came after a
    /// poll had looked may have woken it for that poll.
    pub(super) fn sleep(&mut self, waker: &Waker) -> Sleep {
        let is_other = self.waker.as_ref().is_some_and(|own| !own.will_wake(waker));
        if is_other || self.waker.is_none() {
            for place in &mut self.places {
                place.stop_waiting();
            }
            drop_waker(self.waker.replace(waker.clone()));
        }
        #[cfg(tower_sse_loom)]
        if self.hub.broken == super::Broken::SleepsOnUncommitted {
            self.places.iter_mut().for_each(|place| place.wait_anyhow(waker));
            return Sleep::Begins;
        }
        let mut newly = 0;
        for place in &mut self.places {
            if place.waits() {
                if place.is_quiet() {
                    continue;
                }
                return Sleep::IsNotDue;
            }
            if !place.enlist(waker) {
                return Sleep::IsNotDue;
            }
            newly += 1;
            // With another waker at each poll it would never wait in all.
            if newly == LISTED_AT_ONCE && !is_other {
                return Sleep::IsInterrupted;
            }
        }
        if self.hub.is_closed() { Sleep::IsNotDue } else { Sleep::Begins }
    }
}
