use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

use super::frames::{FrameKey, Frames};
use super::memory::{DeferredDrops, MemoryCounter, MemoryShare};

/// The size of a block in bytes. A frame has only events that start in one block, so subscribers
/// that are behind soon read the same frames.
const BLOCK_SIZE: u64 = 16 * 1024;
/// The size in bytes from which an event is a block of its own and is read without a copy. No other
/// block exceeds [`BLOCK_SIZE`] by this much.
const LARGE_EVENT_SIZE: usize = 4 * 1024;
/// The memory of an event besides its bytes on the wire: its entry and a reference count.
pub(crate) const ENTRY_OVERHEAD: usize = 112;
/// The number of newest events that a search examines one by one.
const NEWEST: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// The maximum number of events, or zero if each event replaces the one before it.
    pub(crate) events: usize,
    /// The maximum total size on the wire, in bytes. This limit never evicts the newest event.
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) memory: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evicted {
    /// The sequence number of the newest evicted event or gap, or an upper bound of this number. 0
    /// if nothing was evicted.
    pub(crate) up_to: u64,
    /// Whether `up_to` is exact. If the hub remembers no earlier topic of this name, it's an upper
    /// bound.
    pub(crate) is_exact: bool,
}

/// The recent events of a topic or a run, in the order of publication.
///
/// Each `pub(crate)` method that changes the log's memory, except `make_room`, updates `memory`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(super) limits: Limits,
    /// The memory of a topic besides its events. It counts only while the topic keeps events.
    topic_overhead: usize,
    pub(super) memory: MemoryShare,
    pub(super) entries: VecDeque<Entry>,
    pub(super) bytes: usize,
    /// The offset at which the next small event starts. Offsets count the bytes of all appended
    /// events, and the padding that aligns large events with blocks.
    pub(super) end: u64,
    pub(crate) evicted: Evicted,
    /// The gaps that programs reported, in ascending order, each after a kept event. A gap counts
    /// as evicted together with the event before it.
    gaps: Option<Box<Gaps>>,
    /// The number of evicted events, without the events that newer events have replaced.
    pub(crate) evicted_events: u64,
    /// Allocated once several events are read at a time.
    pub(super) frames: Option<Box<Frames>>,
}

#[derive(Debug, Default)]
struct Gaps(VecDeque<u64>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) start: u64,
    pub(super) published: Duration,
    pub(super) bytes: Bytes,
}

impl Entry {
    const fn block(&self) -> u64 {
        self.start / BLOCK_SIZE
    }

    const fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Log {
    pub(crate) fn new(
        limits: Limits,
        topic_overhead: usize,
        evicted: Evicted,
        counter: Arc<MemoryCounter>,
    ) -> Self {
        let memory = MemoryShare::new(counter);
        Self { limits, topic_overhead, memory, evicted, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Raises the limits and excludes the log's memory from the total of all logs.
    pub(crate) fn raise_limits(&mut self, events: usize, bytes: usize, age: Duration) {
        let limits = &mut self.limits;
        limits.events = limits.events.max(events);
        limits.bytes = limits.bytes.max(bytes);
        limits.age = limits.age.max(age);
        limits.memory = limits.memory.max(self.topic_overhead + events * ENTRY_OVERHEAD + bytes);
        self.memory.leave_total();
    }

    #[inline]
    pub(crate) const fn shares_memory(&self) -> bool {
        self.memory.counter.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the memory that counts towards the total of all logs: 0 without events, because then
    /// only subscribers keep the topic alive.
    fn memory(&self) -> usize {
        if self.is_empty() { 0 } else { self.topic_overhead + self.events_memory() }
    }

    pub(crate) fn events_memory(&self) -> usize {
        let frames = self.frames.as_ref().map_or(0, |frames| frames.memory());
        self.entries.len() * ENTRY_OVERHEAD + self.bytes + frames
    }

    fn update_memory(&mut self) {
        self.memory.set(self.memory());
    }

    // Inlined by force: the compiler alone doesn't, because both the hub and runs call this.
    #[inline(always)]
    pub(crate) fn append(
        &mut self,
        sequence: u64,
        bytes: Bytes,
        published: Duration,
        now: Duration,
        drops: &mut DeferredDrops,
    ) {
        self.bytes += bytes.len();
        let is_large = bytes.len() >= LARGE_EVENT_SIZE;
        let start = if is_large { self.end.next_multiple_of(BLOCK_SIZE) } else { self.end };
        let end = start + bytes.len() as u64;
        self.end = if is_large { end.next_multiple_of(BLOCK_SIZE) } else { end };
        self.entries.push_back(Entry { sequence, start, published, bytes });
        self.trim(now, drops);
    }

    /// Adds a gap. Gaps without an event between them become one gap.
    pub(crate) fn add_gap(&mut self, sequence: u64) {
        let Some(newest) = self.entries.back().map(|newest| newest.sequence) else {
            self.evicted = Evicted { up_to: sequence, is_exact: true };
            return;
        };
        let Gaps(gaps) = &mut **self.gaps.get_or_insert_default();
        if gaps.back().is_some_and(|gap| *gap > newest) {
            gaps.pop_back();
        }
        gaps.push_back(sequence);
    }

    #[inline]
    pub(crate) fn gap_after(&self, seen: u64) -> Option<u64> {
        let Gaps(gaps) = &**self.gaps.as_ref()?;
        gaps.get(gaps.partition_point(|gap| *gap <= seen)).copied()
    }

    pub(crate) fn oldest(&self) -> Option<(u64, Duration)> {
        let oldest = self.entries.front()?;
        Some((oldest.sequence, oldest.published.saturating_add(self.limits.age)))
    }

    #[inline]
    pub(crate) fn keeps_frames(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.are_kept())
    }

    /// Returns the first and last number, and the bytes, of the events after `seen`: at most `max`
    /// bytes, or one event.
    pub(crate) fn copy_after(&self, seen: u64, max: usize) -> Option<(u64, u64, Bytes)> {
        let from = self.index_after(seen);
        let first = self.entries.get(from)?;
        if first.bytes.len() >= max || from + 1 == self.entries.len() {
            return Some((first.sequence, first.sequence, first.bytes.clone()));
        }
        let (mut last, mut count, mut len) = (first.sequence, 0, 0);
        for entry in self.entries.range(from..) {
            if count > 0 && len + entry.bytes.len() > max {
                break;
            }
            (last, count, len) = (entry.sequence, count + 1, len + entry.bytes.len());
        }
        Some((first.sequence, last, self.copy(from..from + count).into()))
    }

    pub(crate) fn evicted_after(&self, seen: u64) -> Option<u64> {
        (self.evicted.up_to > seen).then_some(self.evicted.up_to)
    }

    pub(crate) fn next(&self, seen: u64) -> Option<u64> {
        self.entries.get(self.index_after(seen)).map(|entry| entry.sequence)
    }

    pub(crate) fn next_item(&self, seen: u64) -> Option<u64> {
        [self.gap_after(seen), self.next(seen)].into_iter().flatten().min()
    }

    /// Returns the newest `count` events up to `newest`, in descending order.
    pub(crate) fn recent(&self, count: usize, newest: u64) -> impl Iterator<Item = (u64, &Bytes)> {
        let end = self.index_after(newest);
        self.entries.range(..end).rev().take(count).map(|entry| (entry.sequence, &entry.bytes))
    }

    /// Returns the index of the first event after `seen`. Looks at the newest events first, because
    /// most subscribers have seen all older events.
    // By index: an iterator over the end of the list takes several times as long for each event.
    #[inline]
    fn index_after(&self, seen: u64) -> usize {
        let is_seen = |entry: &Entry| entry.sequence <= seen;
        let len = self.entries.len();
        for index in (len.saturating_sub(NEWEST)..len).rev() {
            if self.entries.get(index).is_none_or(is_seen) {
                return index + 1;
            }
        }
        self.entries.partition_point(is_seen)
    }
}

/// The size in bytes from which part of a complete block is sent as a slice of the block's frame. A
/// smaller part is copied, because a client that holds a slice keeps the whole block in memory.
const MIN_SHARED_SLICE: u64 = 4 * 1024;

/// The capacity up to which evictions don't shrink the list of entries.
const MIN_CAPACITY: usize = 16;

#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) last: u64,
    /// The sequence number of the event or gap after the batch, if there is one.
    pub(crate) next: Option<u64>,
    pub(crate) bytes: Bytes,
}

impl Log {
    /// Returns the first events above `seen` and below `bound`, in one block, before the next gap.
    // Inlined by force: the compiler alone doesn't, because both the hub and runs call this.
    #[inline(always)]
    pub(crate) fn batch(
        &mut self,
        seen: u64,
        bound: u64,
        drops: &mut DeferredDrops,
    ) -> Option<Batch> {
        let gap = self.gap_after(seen);
        let bound = gap.map_or(bound, |gap| gap.min(bound));
        let from = self.index_after(seen);
        let first = self.entries.get(from).filter(|entry| entry.sequence < bound)?;
        // The common case: a subscriber has seen all but the newest event.
        if from + 1 == self.entries.len() {
            return Some(Batch { last: first.sequence, next: gap, bytes: first.bytes.clone() });
        }
        let block = first.block();
        let is_in_batch = |entry: &Entry| entry.sequence < bound && entry.block() <= block;
        let to = self.entries.partition_point(is_in_batch);
        let next = self.entries.get(to).map(|entry| entry.sequence);
        let next = [gap, next].into_iter().flatten().min();
        if to == from + 1 {
            return Some(Batch { last: first.sequence, next, bytes: first.bytes.clone() });
        }
        let last = self.entries.get(to - 1)?.sequence;
        Some(Batch { last, next, bytes: self.frame(from..to, drops)? })
    }

    fn frame(&mut self, entries: Range<usize>, drops: &mut DeferredDrops) -> Option<Bytes> {
        let first = self.entries.get(entries.start)?;
        let block = first.block();
        let range = first.start..self.entries.get(entries.end - 1)?.end();
        let is_complete = self.end / BLOCK_SIZE > block;
        let is_whole = is_complete && range.end - range.start >= MIN_SHARED_SLICE;
        let key = FrameKey { block, part: (!is_whole).then_some((range.start, range.end)) };
        // A frame is kept only if it fits, because reading evicts no events to make room.
        let room = self.memory.room(self.limits.memory);
        let frame = match self.frames.get_or_insert_default().get(key, &range, room, drops) {
            Some(frame) => Some(frame),
            None => {
                let copied = if is_whole { self.entries_of(block) } else { entries };
                let start = self.entries.get(copied.start)?.start;
                let bytes = self.copy(copied);
                self.frames.get_or_insert_default().add(key, start, bytes, &range, room, drops)
            }
        };
        self.update_memory();
        frame
    }

    fn copy(&self, entries: Range<usize>) -> Vec<u8> {
        let parts = || self.entries.range(entries.clone()).map(|entry| &entry.bytes);
        let mut bytes = Vec::with_capacity(parts().map(Bytes::len).sum());
        parts().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn entries_of(&self, block: u64) -> Range<usize> {
        let start = self.entries.partition_point(|entry| entry.block() < block);
        start..self.entries.partition_point(|entry| entry.block() <= block)
    }

    pub(crate) fn trim(&mut self, now: Duration, drops: &mut DeferredDrops) {
        let Limits { events, bytes, age, memory } = self.limits;
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > events.max(1)
                || (self.bytes > bytes && self.entries.len() > 1)
                || now.saturating_sub(oldest.published) > age)
        {
            self.evict_oldest(drops);
        }
        // An event that is larger than `memory` must not evict the events of other logs.
        self.evict_while(u64::MAX, drops, |log| {
            log.topic_overhead + log.entries.len() * ENTRY_OVERHEAD + log.bytes > memory
        });
        self.update_memory();
    }

    pub(crate) fn evict(&mut self, memory: usize, drops: &mut DeferredDrops) {
        self.evict_up_to(u64::MAX, memory, drops);
    }

    pub(crate) fn evict_up_to(&mut self, newest: u64, memory: usize, drops: &mut DeferredDrops) {
        let target = self.memory().saturating_sub(memory);
        self.evict_while(newest, drops, |log| log.memory() > target);
        self.update_memory();
    }

    pub(crate) fn has_room(&self, len: usize, limit: usize) -> bool {
        (self.entries.len() + 1) * ENTRY_OVERHEAD + self.bytes + len <= limit
    }

    /// Evicts events up to number `up_to` until `len` bytes have room. Returns whether they do.
    pub(crate) fn make_room(
        &mut self,
        len: usize,
        limit: usize,
        up_to: u64,
        drops: &mut DeferredDrops,
    ) -> bool {
        self.evict_while(up_to, drops, |log| !log.has_room(len, limit));
        self.has_room(len, limit)
    }

    pub(crate) fn evict_frames(&mut self, drops: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            frames.evict(drops);
            self.update_memory();
        }
    }

    pub(crate) fn skip_to(&mut self, sequence: u64, drops: &mut DeferredDrops) {
        self.evict(usize::MAX, drops);
        self.evicted = Evicted { up_to: sequence, is_exact: true };
    }

    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    fn evict_while(
        &mut self,
        up_to: u64,
        drops: &mut DeferredDrops,
        is_necessary: impl Fn(&Self) -> bool,
    ) {
        while is_necessary(self)
            && self.entries.front().is_some_and(|oldest| oldest.sequence <= up_to)
        {
            self.evict_oldest(drops);
        }
    }

    fn evict_oldest(&mut self, drops: &mut DeferredDrops) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes.len();
        let is_replaced = self.limits.events == 0 && !self.entries.is_empty();
        self.evicted_events += u64::from(!is_replaced);
        self.evicted = Evicted { up_to: oldest.sequence, is_exact: true };
        self.evict_gaps();
        drops.add(oldest.bytes);
        self.remove_stale_frames(drops);
        // Free the memory that a burst has left.
        let capacity = self.entries.capacity();
        if capacity > MIN_CAPACITY && self.entries.len() < capacity / 4 {
            self.entries.shrink_to(capacity / 2);
        }
    }

    #[inline]
    fn evict_gaps(&mut self) {
        let Some(Gaps(gaps)) = self.gaps.as_deref_mut() else { return };
        let oldest = self.entries.front().map_or(u64::MAX, |oldest| oldest.sequence);
        while let Some(gap) = gaps.front().copied().filter(|gap| *gap < oldest) {
            self.evicted.up_to = gap;
            gaps.pop_front();
        }
    }

    fn remove_stale_frames(&mut self, drops: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            let oldest = self.entries.front().map(Entry::block);
            frames.remove_before(oldest.unwrap_or(u64::MAX), drops);
            if oldest.is_none() {
                self.frames = None;
            }
        }
    }
}
