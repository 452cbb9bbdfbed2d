use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

/// The subscriptions that sleep until something is published to a topic, each by its waker.
///
/// A subscription is in the list once at most: it keeps its ticket, which holds for as long as the
/// list's generation stays the same.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    generation: u64,
    wakers: Vec<Option<Waker>>,
    vacant: Vec<u32>,
}

/// A place in the list. Every subscription has one for each of its topics, so it is not padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(super) struct Ticket {
    generation: u64,
    index: u32,
}

impl Ticket {
    /// No place.
    pub(super) const NONE: Self = Self { generation: u64::MAX, index: 0 };

    /// Is it in a list of this generation?
    pub(super) const fn is_of(self, generation: u64) -> bool {
        self.generation == generation
    }
}

impl Waiters {
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds a waker.
    pub(super) fn add(&mut self, waker: Waker) -> Ticket {
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => {
                self.wakers.push(None);
                // More than four thousand million sleepers do not fit into any machine.
                u32::try_from(self.wakers.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.wakers.get_mut(index as usize) {
            *place = Some(waker);
        }
        Ticket { generation: self.generation, index }
    }

    /// Gives the waker back that has this ticket, to be dropped outside of all locks.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        let waker = self.place(ticket)?.take();
        if waker.is_some() {
            self.vacant.push(ticket.index);
        }
        waker
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Option<Waker>> {
        if !ticket.is_of(self.generation) {
            return None;
        }
        self.wakers.get_mut(ticket.index as usize)
    }

    /// Empties the list, to be woken outside of all locks.
    pub(super) fn take(&mut self) -> WakeList {
        if self.wakers.len() == self.vacant.len() {
            return WakeList::None;
        }
        self.generation += 1;
        self.vacant.clear();
        if self.wakers.len() <= FEW {
            // The list keeps its memory.
            let mut few = [const { None }; FEW];
            for (waker, place) in self.wakers.drain(..).zip(&mut few) {
                *place = waker;
            }
            return WakeList::Few(few);
        }
        WakeList::Many(mem::take(&mut self.wakers))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len() - self.vacant.len()
    }
}

const FEW: usize = 8;

/// Those who were in the list.
#[derive(Debug)]
pub(super) enum WakeList {
    None,
    Few([Option<Waker>; FEW]),
    Many(Vec<Option<Waker>>),
}

impl WakeList {
    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn wake(self) {
        match self {
            Self::None => {}
            Self::Few(wakers) => wakers.into_iter().flatten().for_each(wake),
            Self::Many(wakers) => wakers.into_iter().flatten().for_each(wake),
        }
    }
}

fn wake(waker: Waker) {
    // The other wakers are no longer in the list, so they would never be woken.
    without_panic(|| waker.wake());
}

/// Drops a waker, which can panic as it runs the code of a runtime. Call it outside of all locks.
pub(super) fn drop_waker(waker: Option<Waker>) {
    without_panic(|| drop(waker));
}

fn without_panic(callback: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
        // To drop it could panic again.
        mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{Ticket, Waiters, WakeList};

    fn woken(woken: &WakeList) -> usize {
        match woken {
            WakeList::None => 0,
            WakeList::Few(wakers) => wakers.iter().flatten().count(),
            WakeList::Many(wakers) => wakers.iter().flatten().count(),
        }
    }

    #[test]
    fn everybody_is_taken_once() {
        for sleepers in [0, 1, 8, 9, 100] {
            let mut waiters = Waiters::default();
            for _ in 0..sleepers {
                waiters.add(Waker::noop().clone());
            }
            assert_eq!(woken(&waiters.take()), sleepers);
            assert_eq!(woken(&waiters.take()), 0);
        }
    }

    #[test]
    fn places_are_used_again_and_old_tickets_are_none() {
        let mut waiters = Waiters::default();
        let tickets: Vec<_> = (0..10).map(|_| waiters.add(Waker::noop().clone())).collect();
        for ticket in &tickets {
            assert!(waiters.remove(*ticket).is_some());
            assert!(waiters.remove(*ticket).is_none(), "only once");
        }
        assert_eq!(waiters.len(), 0);
        for _ in 0..10 {
            waiters.add(Waker::noop().clone());
        }
        assert_eq!(waiters.wakers.len(), 10, "no further place");
        assert_eq!(woken(&waiters.take()), 10);
        waiters.add(Waker::noop().clone());
        assert!(waiters.remove(tickets[0]).is_none(), "of a generation that was taken");
        assert!(waiters.remove(Ticket::NONE).is_none());
        assert_eq!(waiters.len(), 1);
    }
}
