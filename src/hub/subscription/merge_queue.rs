use std::{cmp::Reverse, collections::BinaryHeap};

use super::cursor::TopicCursor;

/// The number of topics that one poll scans before the subscription yields to other tasks. The scan
/// takes up to half a millisecond.
const SCANNED_PER_POLL: usize = 4096;

/// A queue that merges the topics of a subscription into the order of publication.
///
/// It is a heap of the cursors that have something to read, ordered by the sequence number of their
/// next item. Reading from one topic does not visit the other topics.
#[derive(Debug, Default)]
pub(crate) struct MergeQueue {
    /// The sequence number of a cursor's next item, and the index of the cursor. The number is
    /// lower than the item's if events have been evicted since.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// The sequence number up to which all cursors were scanned: those that are not in the heap have
    /// nothing to read up to it. `None` before the first scan.
    complete_to: Option<u64>,
    /// The scan that the last poll has not finished: the sequence number up to which it scans, and the
    /// index of the next cursor.
    scan: Option<(u64, usize)>,
}

impl MergeQueue {
    /// Removes and returns the cursor with the earliest item, if that item is not above
    /// `committed`.
    pub(crate) fn next(&mut self, committed: u64, cursors: &mut [TopicCursor]) -> Next {
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

    /// Removes and returns the earliest cursor, if its next item has this sequence number.
    pub(crate) fn pop_at(&mut self, sequence: u64, cursors: &mut [TopicCursor]) -> Option<usize> {
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
    pub(crate) fn push(&mut self, index: usize, next: u64, cursors: &mut [TopicCursor]) {
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = true;
            self.heap.push(Reverse((next, index)));
        }
    }

    /// Returns whether all cursors with an item up to `committed` are in the heap.
    fn is_complete(&self, committed: u64) -> bool {
        self.scan.is_none() && self.complete_to == Some(committed)
    }

    /// Adds the next cursors with an item up to `committed`. Returns whether all cursors have been
    /// visited.
    ///
    /// Events published during a scan have higher sequence numbers, so the next scan adds them.
    fn scan(&mut self, committed: u64, cursors: &mut [TopicCursor]) -> bool {
        let (up_to, from) = self.scan.take().unwrap_or((committed, 0));
        let to = cursors.len().min(from.saturating_add(SCANNED_PER_POLL));
        let scanned = cursors.get_mut(from..to).unwrap_or_default();
        for (cursor, index) in scanned.iter_mut().zip(from..) {
            // The check without a lock comes first, because most cursors are caught up.
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
pub(crate) enum Next {
    Nothing,
    /// The scan is unfinished, and the subscription has to yield to other tasks.
    Yield,
    /// The cursor with this index.
    Cursor {
        index: usize,
        /// The sequence number of its next item, or a lower one.
        first: u64,
        /// No other cursor has an item below this sequence number.
        bound: u64,
    },
}
