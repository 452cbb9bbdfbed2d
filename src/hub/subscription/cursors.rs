use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::ops::{Deref, DerefMut};
use std::{cmp::Reverse, mem, slice, sync::Arc, task::Waker};

use crate::history::{Batch, DeferredDrops, Log, Ticket};
use crate::hub::{changes::Changed, topic::Topic, topic::Topics};
use crate::wake::drop_waker;

// Most subscriptions have one topic or two. Their cursors are stored in place, which saves a cache
// line per event.
pub(crate) enum Cursors {
    One(TopicCursor),
    /// Here and in `Many`, the last field is the number in the last id that was sent.
    Two([TopicCursor; 2], u64),
    Many(Vec<TopicCursor>, Option<Box<MergeQueue>>, u64),
}

impl Default for Cursors {
    fn default() -> Self {
        Self::Many(Vec::new(), None, 0)
    }
}

impl Cursors {
    pub(crate) fn push(&mut self, cursor: TopicCursor) {
        // Moving the list would take longer than adding to it.
        if let Self::Many(cursors, ..) = self
            && !cursors.is_empty()
        {
            return cursors.push(cursor);
        }
        *self = match mem::take(self) {
            Self::One(first) => Self::Two([first, cursor], 0),
            Self::Two([first, second], sent) => Self::Many(vec![first, second, cursor], None, sent),
            Self::Many(..) => Self::One(cursor),
        };
    }

    /// Returns the number in the last id that was sent. For a single topic, that is the newest
    /// number that its cursor has seen.
    pub(super) const fn sent(&self) -> u64 {
        match self {
            Self::One(cursor) => cursor.seen,
            Self::Two(_, sent) | Self::Many(.., sent) => *sent,
        }
    }

    #[inline]
    pub(super) const fn set_sent(&mut self, sequence: u64) {
        if let Self::Two(_, sent) | Self::Many(.., sent) = self {
            *sent = sequence;
        }
    }

    /// Returns the cursor with the next item: an event or a gap. Topics outside of `changed` must
    /// have nothing to read.
    #[inline]
    pub(super) fn next(&mut self, committed: u64, changed: Changed) -> Next {
        match self {
            Self::Many(cursors, queue, _) if cursors.len() > FEW => {
                queue.get_or_insert_default().next(committed, cursors, changed)
            }
            few => MergeQueue::next_of_few(committed, few, changed),
        }
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        if let Self::Many(cursors, ..) = self {
            cursors.shrink_to_fit();
        }
    }
}

impl Deref for Cursors {
    type Target = [TopicCursor];

    #[inline]
    fn deref(&self) -> &[TopicCursor] {
        match self {
            Self::One(cursor) => slice::from_ref(cursor),
            Self::Two(cursors, _) => cursors,
            Self::Many(cursors, ..) => cursors,
        }
    }
}

impl DerefMut for Cursors {
    #[inline]
    fn deref_mut(&mut self) -> &mut [TopicCursor] {
        match self {
            Self::One(cursor) => slice::from_mut(cursor),
            Self::Two(cursors, _) => cursors,
            Self::Many(cursors, ..) => cursors,
        }
    }
}

pub(crate) struct TopicCursor {
    topic: Arc<Topic>,
    seen: u64,
    /// The sequence number of the last event of an earlier topic of this name, if that topic has
    /// ended, the name can be used again, and the event is no longer kept. Otherwise 0. While this
    /// is not 0, the end of the earlier topic doesn't end the subscription.
    forgotten_end: u64,
    pub(crate) ticket: Ticket,
    /// Whether a gap must be reported even if no event was evicted.
    gap_due: bool,
    /// Whether the cursor is in the subscription's [`MergeQueue`].
    pub(crate) is_queued: bool,
}

pub(crate) enum TopicRead {
    Nothing,
    /// A gap for evicted events or for an unknown id.
    Gap,
    /// A gap that was published, and its sequence number.
    Reported(u64),
    Batch(Batch),
}

impl TopicCursor {
    pub(crate) const fn new(topic: Arc<Topic>, forgotten_end: u64) -> Self {
        let ticket = Ticket::NONE;
        Self { topic, seen: 0, forgotten_end, ticket, gap_due: false, is_queued: false }
    }

    pub(crate) const fn seek(&mut self, seen: u64, gap_due: bool) {
        self.seen = seen;
        self.gap_due = gap_due;
    }

    /// Counts the end of the earlier topic as the end of this topic.
    pub(crate) const fn count_end(&mut self) {
        self.forgotten_end = 0;
    }

    /// Returns whether an earlier topic, whose name became free, ended before `sequence`.
    pub(crate) const fn has_ended_before(&self, sequence: u64) -> bool {
        0 < self.forgotten_end && self.forgotten_end < sequence
    }

    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    pub(crate) const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Starts at `recent_from`, or before the kept event of a topic that keeps only its newest
    /// value. Evictions up to `newest` cause no gap.
    pub(crate) fn seek_first_visit(&mut self, recent_from: u64, newest: u64) {
        let evicted = self.topic.lock().log.evicted.up_to.min(newest);
        self.seek(if self.topic.is_latest() { evicted } else { evicted.max(recent_from) }, false);
    }

    /// Starts at 0, for a client whose id is treated as one of another hub. A gap is due unless the
    /// topic keeps an event that replaces all earlier events.
    pub(crate) fn seek_foreign(&mut self) {
        let is_replaced = self.topic.is_latest() && !self.topic.lock().log.is_empty();
        self.seek(0, !is_replaced);
    }

    #[inline]
    pub(crate) fn is_caught_up(&self) -> bool {
        !self.gap_due && self.topic.newest() <= self.seen
    }

    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        let is_end = |last| last > self.forgotten_end && last <= self.seen;
        self.topic.ended_at().is_some_and(is_end) && self.is_caught_up()
    }

    fn gap(&self, log: &Log) -> Option<u64> {
        let is_replaced = || self.topic.is_latest() && !log.is_empty();
        let evicted = log.evicted_after(self.seen).filter(|_| !is_replaced());
        if self.gap_due { Some(evicted.unwrap_or(self.seen)) } else { evicted }
    }

    /// Returns the sequence number of the next item, or 0 if a gap for evicted events or an unknown
    /// id is due: such gaps come before all events that are left.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.is_caught_up() {
            return None;
        }
        let log = &self.topic.lock().log;
        if self.gap(log).is_some() { Some(0) } else { log.next_item(self.seen) }
    }

    pub(super) fn has_gap(&self) -> bool {
        let has_gap = |log: &Log| self.gap(log).or_else(|| log.gap_after(self.seen)).is_some();
        !self.is_caught_up() && has_gap(&self.topic.lock().log)
    }

    /// Reads the next gap, or the next events below `bound`. Also returns the number of the item
    /// that follows.
    #[inline]
    pub(crate) fn read(&mut self, bound: u64, topics: &Topics) -> (TopicRead, Option<u64>) {
        let mut drops = DeferredDrops::default();
        let mut state = self.topic.lock();
        let log = &mut state.log;
        let gap = self.gap(log);
        if gap.is_none()
            && let Some(batch) = log.batch(self.seen, bound, &mut drops)
        {
            // Reading may have made the log keep a frame, and frames are evicted first.
            topics.queue.update(&self.topic, &mut state);
            drop(state);
            self.seen = batch.last;
            let next = batch.next;
            return (TopicRead::Batch(batch), next);
        }
        // Without a batch, an item below the bound can only be a gap.
        let item = gap.or_else(|| log.next_item(self.seen));
        let Some(sequence) = item.filter(|item| gap.is_some() || *item < bound) else {
            return (TopicRead::Nothing, item);
        };
        let next = log.next_item(sequence);
        drop(state);
        self.seek(sequence, false);
        let read = if gap.is_some() { TopicRead::Gap } else { TopicRead::Reported(sequence) };
        (read, next)
    }

    /// Consumes the gap for evicted events or an unknown id. Returns whether such a gap was due,
    /// and the next item's number.
    pub(crate) fn take_gap(&mut self) -> (bool, Option<u64>) {
        let state = self.topic.lock();
        let gap = self.gap(&state.log);
        let next = state.log.next_item(gap.unwrap_or(self.seen));
        drop(state);
        if let Some(gap) = gap {
            self.seek(gap, false);
        }
        (gap.is_some(), next)
    }

    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.ticket.is_valid_in(self.topic.generation())
    }

    /// Starts to wait for the topic's next event, unless there is already something to read.
    /// Returns whether it waits.
    #[inline]
    pub(crate) fn wait(&mut self, waker: &Waker) -> bool {
        // Cloning or dropping a waker can run any code, so both are done without a lock.
        let waker = waker.clone();
        let mut state = self.topic.lock();
        let is_caught_up = self.is_caught_up();
        if is_caught_up {
            self.ticket = state.waiters.add(waker);
        } else {
            drop(state);
            drop_waker(Some(waker));
        }
        is_caught_up
    }

    pub(crate) fn stop_waiting(&mut self) {
        let waker = self.topic.lock().waiters.remove(self.ticket);
        self.ticket = Ticket::NONE;
        drop_waker(waker);
    }
}

/// The maximum number of topics that one poll visits for a scan. These visits take at most half a
/// millisecond.
const SCANNED_PER_POLL: usize = 4096;

/// The number of topics up to which a subscription looks at every topic for each item, because a
/// queue would take two allocations for each client.
const FEW: usize = 4;

/// A heap of the cursors that have something to read, by the sequence number of their next item.
/// Reading from one topic doesn't visit the others.
#[derive(Debug, Default)]
pub(crate) struct MergeQueue {
    /// The sequence number of a cursor's next item, and the cursor's index. The item may have been
    /// evicted since the cursor was added.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// The sequence number up to which all cursors were scanned: up to that number, no cursor
    /// outside of the heap has anything to read. `None` until the first scan is complete.
    complete_to: Option<u64>,
    /// The scan that the last poll has not finished: the sequence number up to which it goes, and
    /// the index of the next cursor.
    scan: Option<(u64, usize)>,
}

impl MergeQueue {
    fn next(&mut self, committed: u64, cursors: &mut [TopicCursor], changed: Changed) -> Next {
        if let Some(next) = self.pop(cursors) {
            return next;
        }
        if self.is_complete(committed) {
            return Next::Nothing;
        }
        if !self.scan(committed, cursors, changed) {
            return Next::Yield;
        }
        self.pop(cursors).unwrap_or(Next::Nothing)
    }

    /// Returns the sequence number up to which all cursors were scanned, unless a scan is pending.
    pub(crate) fn scanned_to(&self) -> Option<u64> {
        self.complete_to.filter(|_| self.scan.is_none())
    }

    fn next_of_few(committed: u64, cursors: &[TopicCursor], changed: Changed) -> Next {
        let end = committed.saturating_add(1);
        let is_behind = |it: &TopicCursor| changed.include(&it.topic) && !it.is_caught_up();
        let mut behind = cursors.iter().enumerate().filter(|(_, cursor)| is_behind(cursor));
        match (behind.next(), behind.next()) {
            (None, _) => return Next::Nothing,
            // The most frequent case, which takes no lock.
            (Some((index, _)), None) => return Next::Cursor { index, first: 0, bound: end },
            _ => {}
        }
        let (mut first, mut following) = (None, end);
        for (index, cursor) in cursors.iter().enumerate() {
            let Some(next) = cursor.next() else { continue };
            match first {
                Some((earlier, _)) if earlier <= next => following = following.min(next),
                _ => {
                    following = first.map_or(following, |(later, _)| following.min(later));
                    first = Some((next, index));
                }
            }
        }
        match first {
            Some((first, index)) if first <= committed => {
                Next::Cursor { index, first, bound: following }
            }
            _ => Next::Nothing,
        }
    }

    fn pop(&mut self, cursors: &mut [TopicCursor]) -> Option<Next> {
        let (first, index) = self.pop_up_to(self.complete_to?, cursors)?;
        Some(Next::Cursor { index, first, bound: self.left() })
    }

    /// Removes the cursor with the lowest next item, unless this item is after `last`.
    pub(crate) fn pop_up_to(
        &mut self,
        last: u64,
        cursors: &mut [TopicCursor],
    ) -> Option<(u64, usize)> {
        let lowest = self.heap.peek_mut().filter(|lowest| lowest.0.0 <= last)?;
        let Reverse((next, index)) = PeekMut::pop(lowest);
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = false;
        }
        Some((next, index))
    }

    /// Returns a number below which no cursor, except one just popped, has an event to read. It's 0
    /// before the first scan is complete, and if a queued gap comes before all events.
    pub(crate) fn left(&self) -> u64 {
        let end = self.complete_to.map_or(0, |complete_to| complete_to.saturating_add(1));
        self.heap.peek().map_or(end, |Reverse((next, _))| end.min(*next))
    }

    /// Scans all cursors again, so that every gap for evicted events comes first. Does nothing if
    /// there are too many cursors for one poll.
    pub(crate) fn rescan(&mut self, committed: u64, cursors: &mut [TopicCursor]) {
        if cursors.len() <= SCANNED_PER_POLL {
            self.heap.clear();
            self.scan = None;
            cursors.iter_mut().for_each(|cursor| cursor.is_queued = false);
            self.scan(committed, cursors, Changed::ALL);
        }
    }

    pub(crate) fn push(&mut self, index: usize, next: u64, cursors: &mut [TopicCursor]) {
        if let Some(cursor) = cursors.get_mut(index) {
            cursor.is_queued = true;
            self.heap.push(Reverse((next, index)));
        }
    }

    fn is_complete(&self, committed: u64) -> bool {
        self.scan.is_none() && self.complete_to == Some(committed)
    }

    /// Scans the next cursors. Returns whether all have been visited. Events published during a
    /// scan have sequence numbers above `up_to`, so the next scan finds them.
    fn scan(&mut self, committed: u64, cursors: &mut [TopicCursor], changed: Changed) -> bool {
        let (up_to, from) = self.scan.take().unwrap_or((committed, 0));
        let to = cursors.len().min(from.saturating_add(SCANNED_PER_POLL));
        let scanned = cursors.get_mut(from..to).unwrap_or_default();
        for (cursor, index) in scanned.iter_mut().zip(from..) {
            // The checks without a lock come first, because most cursors are caught up.
            if changed.include(&cursor.topic)
                && !cursor.is_caught_up()
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

#[derive(Clone, Copy)]
pub(crate) enum Next {
    Nothing,
    Yield,
    Cursor {
        index: usize,
        /// The sequence number of the cursor's next item, or a lower number.
        first: u64,
        /// No other cursor has an item below this sequence number.
        bound: u64,
    },
}
