use std::collections::VecDeque;

use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicU64, Mutex, lock};

/// The maximum number of kept losses. A client whose id is older than a forgotten loss gets the
/// gaps of the oldest kept loss instead.
const MAX_LOSSES: usize = 64;

/// The losses that a broker has reported: numbers up to which every topic may have lost events.
#[derive(Default)]
pub(crate) struct Losses {
    /// The newest loss, 0 if there was none. `first_after` checks it before it takes the lock.
    newest: AtomicU64,
    /// In ascending order.
    recent: Mutex<VecDeque<u64>>,
}

impl Losses {
    /// Adds a loss, whose number must be above those of all earlier losses.
    pub(crate) fn add(&self, loss: u64) {
        let mut losses = lock(&self.recent);
        if losses.len() == MAX_LOSSES {
            losses.pop_front();
        }
        losses.push_back(loss);
        self.newest.store(loss, Release);
    }

    /// Returns the first kept loss above `seen`.
    #[inline]
    pub(crate) fn first_after(&self, seen: u64) -> Option<u64> {
        if self.newest.load(Acquire) > seen { self.find_after(seen) } else { None }
    }

    #[cold]
    fn find_after(&self, seen: u64) -> Option<u64> {
        let losses = lock(&self.recent);
        losses.get(losses.partition_point(|loss| *loss <= seen)).copied()
    }

    pub(crate) fn last_before(&self, end: u64) -> Option<u64> {
        let losses = lock(&self.recent);
        losses.iter().rev().find(|loss| **loss < end).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Losses, MAX_LOSSES};

    #[test]
    fn newest_losses_are_remembered() {
        let losses = Losses::default();
        assert_eq!(losses.first_after(0), None);
        assert_eq!(losses.last_before(u64::MAX), None);
        let count = MAX_LOSSES as u64 + 10;
        for n in 1..=count {
            losses.add(10 * n);
        }
        assert_eq!(losses.first_after(0), Some(110), "the first 10 are forgotten");
        assert_eq!(losses.first_after(110), Some(120));
        assert_eq!(losses.first_after(119), Some(120));
        assert_eq!(losses.first_after(10 * count - 1), Some(10 * count));
        assert_eq!(losses.first_after(10 * count), None);
        assert_eq!(losses.last_before(110), None);
        assert_eq!(losses.last_before(111), Some(110));
        assert_eq!(losses.last_before(u64::MAX), Some(10 * count));
    }
}
