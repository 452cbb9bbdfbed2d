use std::{cmp::Reverse, collections::BinaryHeap};

use super::cursor::TopicCursor;

/// How many topics one poll scans, which takes up to half a millisecond. Then the subscription
/// yields to other tasks.
const SCANNED_PER_POLL: usize = 4096;

/// Merges the topics of a subscription into the order of publication: a heap of the cursors with
/// something to read, by its sequence number. Reading one topic does not visit the rest.
#[derive(Debug, Default)]
pub(super) struct MergeQueue {
    /// The sequence number of the next item, or a lower one if that was evicted since, and the
    /// index of the cursor.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// A cursor that is not in the heap has nothing to read up to here; `None` before the first
    /// scan.
    complete_to: Option<u64>,
    /// The unfinished scan: the sequence number it goes up to, and the index of the next cursor.
    scan: Option<(u64, usize)>,
}

impl MergeQueue {
    /// Removes the cursor with the earliest item, if that is at most `committed`.
    pub(super) fn next(&mut self, committed: u64, cursors: &mut [TopicCursor]) -> Next {
        if let Some(next) = self.pop(cursors) {
            return next;
        }
        if self.is_complete(committed) {
            return Next::Nothing;
        }
        if !self.scan(committed, cursors) {
            return Next::Yield;
        }
        self.pop(cursors).unwrap_or(Next::Nothing)
    }

    fn pop(&mut self, cursors: &mut [TopicCursor]) -> Option<Next> {
        let complete_to = self.complete_to?;
        let Reverse((sequence, index)) = *self.heap.peek()?;
        if sequence > complete_to {
            return None;
        }
        self.heap.pop();
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = false;
        }
        let end = complete_to.saturating_add(1);
        let following = self.heap.peek().map_or(end, |Reverse((following, _))| *following);
        // Gaps of two topics can have the same sequence number.
        let bound = following.min(end).max(sequence.saturating_add(1));
        Some(Next::Cursor { index, first: sequence, bound })
    }

    /// Removes the earliest cursor, if its next item is at this sequence number.
    pub(super) fn pop_at(&mut self, sequence: u64, cursors: &mut [TopicCursor]) -> Option<usize> {
        let Reverse((next, index)) = *self.heap.peek()?;
        if next != sequence {
            return None;
        }
        self.heap.pop();
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = false;
        }
        Some(index)
    }

    /// Adds a cursor by the sequence number of its next item.
    pub(super) fn push(&mut self, index: usize, next: u64, cursors: &mut [TopicCursor]) {
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = true;
            self.heap.push(Reverse((next, index)));
        }
    }

    /// Returns whether the heap has all cursors with an item up to `committed`.
    fn is_complete(&self, committed: u64) -> bool {
        self.scan.is_none() && self.complete_to == Some(committed)
    }

    /// Adds the cursors with an item up to `committed`, some at a time. Returns whether it has
    /// visited all.
    ///
    /// What is published during a scan has a higher sequence number, so the next scan adds it.
    fn scan(&mut self, committed: u64, cursors: &mut [TopicCursor]) -> bool {
        let (up_to, from) = self.scan.take().unwrap_or((committed, 0));
        let to = cursors.len().min(from.saturating_add(SCANNED_PER_POLL));
        let scanned = cursors.get_mut(from..to).unwrap_or_default();
        for (cursor, index) in scanned.iter_mut().zip(from..) {
            // First the check without a lock: most cursors are caught up.
            if !cursor.is_caught_up()
                && !cursor.is_queued
                && let Some(next) = cursor.next()
            {
                cursor.is_queued = true;
                self.heap.push(Reverse((next, index)));
            }
        }
        let is_done = to == cursors.len();
        if is_done {
            self.complete_to = Some(up_to);
        } else {
            self.scan = Some((up_to, to));
        }
        is_done
    }
}

/// The cursor to read next.
#[derive(Clone, Copy)]
pub(super) enum Next {
    Nothing,
    /// The scan is unfinished: the subscription has to yield to other tasks.
    Yield,
    /// The cursor with this index.
    Cursor {
        index: usize,
        /// The sequence number of its next item, or a lower one.
        first: u64,
        /// The sequence number up to which, exclusively, no other cursor has an item.
        bound: u64,
    },
}
