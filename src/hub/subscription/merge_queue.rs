use std::{cmp::Reverse, collections::BinaryHeap};

use super::cursor::TopicCursor;

/// A queue that merges the topics of a subscription into the order of publication.
///
/// It is a heap of the cursors that have something to read, ordered by the sequence number of their
/// next item. Reading from one topic does not visit the other topics.
#[derive(Debug, Default)]
pub(crate) struct MergeQueue {
    /// The sequence number of a cursor's next item, and the index of the cursor. The number is
    /// lower than the item's if events have been evicted since.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// Cursors that are not in the heap have nothing to read up to this sequence number. `None`
    /// before the first scan.
    complete_to: Option<u64>,
}

impl MergeQueue {
    /// Removes and returns the cursor with the earliest item, if that item is not above
    /// `committed`.
    pub(crate) fn next(&mut self, committed: u64, cursors: &mut [TopicCursor]) -> Option<Next> {
        let next = self.pop(cursors);
        if next.is_some() || self.complete_to == Some(committed) {
            return next;
        }
        self.scan(committed, cursors);
        self.pop(cursors)
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
        Some(Next { index, first: sequence, bound })
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

    /// Adds all cursors with an item up to `committed`.
    fn scan(&mut self, committed: u64, cursors: &mut [TopicCursor]) {
        for (index, cursor) in cursors.iter_mut().enumerate() {
            // The check without a lock comes first, because most cursors are caught up.
            if !cursor.is_caught_up()
                && !cursor.is_queued
                && let Some(next) = cursor.next()
            {
                cursor.is_queued = true;
                self.heap.push(Reverse((next, index)));
            }
        }
        self.complete_to = Some(committed);
    }
}

/// The cursor to read next.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    pub(crate) index: usize,
    /// The sequence number of its next item, or a lower one.
    pub(crate) first: u64,
    /// No other cursor has an item below this sequence number.
    pub(crate) bound: u64,
}
