use std::{mem, task::Waker};

use slab::Slab;

use crate::wake::wake;

/// The wakers of waiting subscriptions, or of a run's waiting clients, at most one for each.
/// A ticket is valid in one generation of the list. A generation ends when the wakers are taken.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    generation: u64,
    wakers: Slab<Waker>,
}

/// An index in the list of waiters, valid for one generation of the list.
// Packed, so that the flags of a `TopicCursor` fit behind its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(crate) struct Ticket {
    generation: u64,
    index: u32,
}

impl Ticket {
    pub(crate) const NONE: Self = Self { generation: u64::MAX, index: 0 };

    pub(crate) const fn is_valid_in(self, generation: u64) -> bool {
        self.generation == generation
    }
}

impl Waiters {
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    #[inline]
    pub(crate) fn add(&mut self, waker: Waker) -> Ticket {
        // Most topics have one client, and so one waiter.
        if self.generation == 0 && self.wakers.capacity() == 0 {
            self.wakers.reserve_exact(1);
        }
        let index = self.wakers.insert(waker);
        // 2³² waiting subscriptions would take terabytes.
        Ticket { generation: self.generation, index: index as u32 }
    }

    /// Removes the waker with this ticket. The caller drops the waker after releasing all locks.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Waker> {
        if !ticket.is_valid_in(self.generation) {
            return None;
        }
        let waker = self.wakers.try_remove(ticket.index as usize);
        // Free the capacity that a large number of clients has left.
        if self.wakers.is_empty() && self.wakers.capacity() > FEW {
            self.wakers = Slab::new();
        }
        waker
    }

    pub(crate) fn is_listed(&self, ticket: Ticket, waker: &Waker) -> bool {
        ticket.is_valid_in(self.generation)
            && self.wakers.get(ticket.index as usize).is_some_and(|listed| listed.will_wake(waker))
    }

    /// Takes all wakers. The caller wakes the tasks after releasing all locks.
    // Inlined by force: the compiler alone doesn't, because both the hub and runs call this.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> WakeList {
        if self.wakers.is_empty() {
            return WakeList::None;
        }
        self.generation += 1;
        if self.wakers.capacity() <= FEW {
            // The list keeps its allocation for the next few waiters.
            let mut few = [const { None }; FEW];
            for (waker, slot) in self.wakers.drain().zip(&mut few) {
                *slot = Some(waker);
            }
            return WakeList::Few(few);
        }
        WakeList::Many(mem::take(&mut self.wakers))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.wakers.len()
    }
}

/// The capacity up to which the list keeps its allocation.
const FEW: usize = 8;

/// The wakers taken out of a [`Waiters`].
#[derive(Debug)]
pub(crate) enum WakeList {
    None,
    Few([Option<Waker>; FEW]),
    Many(Slab<Waker>),
}

impl WakeList {
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    // Inlined by force: the compiler alone doesn't, because both the hub and runs call this.
    #[inline(always)]
    pub(crate) fn wake(self) {
        match self {
            Self::None => {}
            Self::Few(wakers) => wakers.into_iter().flatten().for_each(wake),
            Self::Many(wakers) => wakers.into_iter().for_each(|(_, waker)| wake(waker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{Ticket, Waiters, WakeList};

    fn count(list: &WakeList) -> usize {
        match list {
            WakeList::None => 0,
            WakeList::Few(wakers) => wakers.iter().flatten().count(),
            WakeList::Many(wakers) => wakers.len(),
        }
    }

    #[test]
    fn slots_are_reused_and_old_tickets_are_invalid() {
        let mut waiters = Waiters::default();
        let tickets: Vec<_> = (0..10).map(|_| waiters.add(Waker::noop().clone())).collect();
        for ticket in &tickets {
            assert!(waiters.remove(*ticket).is_some());
            assert!(waiters.remove(*ticket).is_none(), "only once");
        }
        assert_eq!(waiters.len(), 0);
        for _ in 0..10 {
            assert!(waiters.add(Waker::noop().clone()).index < 10, "no new slot");
        }
        assert_eq!(count(&waiters.take()), 10);
        waiters.add(Waker::noop().clone());
        assert!(waiters.remove(tickets[0]).is_none(), "a ticket of an earlier generation");
        assert!(waiters.remove(Ticket::NONE).is_none());
        assert_eq!(waiters.len(), 1);
    }
}
