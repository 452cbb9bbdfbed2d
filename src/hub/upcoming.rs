use std::{cmp::Reverse, collections::BinaryHeap};

use super::cursor::TopicCursor;

/// How many topics are looked at in one poll, which takes up to half a millisecond. Then the
/// subscription lets other tasks run.
const LOOKS_AT_ONCE: usize = 4096;

/// What comes next in each topic of a subscription, in the order of the hub. To take the next of
/// it, the other topics need not be looked at.
#[derive(Debug, Default)]
pub(super) struct Upcoming {
    /// The sequences of what comes next, or of what came next before it was evicted, and the
    /// indexes of the places.
    nexts: BinaryHeap<Reverse<(u64, usize)>>,
    /// A place that is not listed has nothing up to here; `None` before all were looked at.
    complete_to: Option<u64>,
    /// The event up to which places are being looked at, and the index of the next of them.
    scan: Option<(u64, usize)>,
}

impl Upcoming {
    /// Takes the earliest place out of the list, where all up to `committed` can be taken.
    pub(super) fn next(&mut self, committed: u64, places: &mut [TopicCursor]) -> Next {
        if let Some(next) = self.pop(places) {
            return next;
        }
        if self.is_complete(committed) {
            return Next::Nothing;
        }
        if !self.scan(committed, places) {
            return Next::TooMuch;
        }
        self.pop(places).unwrap_or(Next::Nothing)
    }

    fn pop(&mut self, places: &mut [TopicCursor]) -> Option<Next> {
        let complete_to = self.complete_to?;
        let Reverse((at, index)) = *self.nexts.peek()?;
        if at > complete_to {
            return None;
        }
        self.nexts.pop();
        if let Some(place) = places.get_mut(index) {
            place.is_listed = false;
        }
        let end = complete_to.saturating_add(1);
        let other = self.nexts.peek().map_or(end, |Reverse((other, _))| *other);
        // Two gaps can be at one place.
        Some(Next::TopicCursor { index, bound: other.min(end).max(at.saturating_add(1)) })
    }

    /// Takes the earliest place out of the list, if what comes next there is at this place.
    pub(super) fn pop_at(&mut self, at: u64, places: &mut [TopicCursor]) -> Option<usize> {
        let Reverse((next, index)) = *self.nexts.peek()?;
        if next != at {
            return None;
        }
        self.nexts.pop();
        if let Some(place) = places.get_mut(index) {
            place.is_listed = false;
        }
        Some(index)
    }

    /// Lists a place by what comes next there.
    pub(super) fn list(&mut self, index: usize, next: u64, places: &mut [TopicCursor]) {
        if let Some(place) = places.get_mut(index) {
            place.is_listed = true;
            self.nexts.push(Reverse((next, index)));
        }
    }

    /// Whether everything up to `committed` is listed.
    fn is_complete(&self, committed: u64) -> bool {
        self.scan.is_none() && self.complete_to == Some(committed)
    }

    /// Lists what has come up to `committed`, in some topics at a time; `false` if that is not all.
    ///
    /// What is published meanwhile is later in the order of the hub, so it can be left for the next
    /// time.
    fn scan(&mut self, committed: u64, places: &mut [TopicCursor]) -> bool {
        let (up_to, from) = self.scan.take().unwrap_or((committed, 0));
        let to = places.len().min(from.saturating_add(LOOKS_AT_ONCE));
        for (place, index) in places.get_mut(from..to).unwrap_or_default().iter_mut().zip(from..) {
            // Most are.
            if !place.is_quiet()
                && !place.is_listed
                && let Some(next) = place.next()
            {
                place.is_listed = true;
                self.nexts.push(Reverse((next, index)));
            }
        }
        let is_all = to == places.len();
        if is_all {
            self.complete_to = Some(up_to);
        } else {
            self.scan = Some((up_to, to));
        }
        is_all
    }
}

/// What can be taken next.
pub(super) enum Next {
    Nothing,
    /// Not all topics were looked at yet: other tasks have to run.
    TooMuch,
    /// The next of the topic with this index, and what follows up to `bound`, before which nothing
    /// of the others comes.
    TopicCursor {
        index: usize,
        bound: u64,
    },
}
