use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    deferred_drops::DeferredDrops,
    frames::Frames,
    memory::{MemoryCounter, MemoryShare},
};

/// The size of a block in bytes. A frame contains only events that start in one block, so that
/// subscribers that are behind soon read the same frames.
pub(super) const BLOCK_SIZE: u64 = 16 * 1024;
/// The size in bytes from which an event is a block of its own and is sent without a copy. Any
/// other block can exceed [`BLOCK_SIZE`] by less than this.
const LARGE_EVENT_SIZE: usize = 4 * 1024;
/// The memory of an event besides its bytes on the wire, measured with an allocator: its entry and
/// the reference count of its bytes.
const ENTRY_OVERHEAD: usize = 112;
/// The capacity below which the list of entries does not shrink.
const MIN_CAPACITY: usize = 16;

/// The limits of what a log keeps. All of them apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    /// The total size on the wire, in bytes. This limit never evicts the newest event.
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    /// The limit of the total memory of all logs, in bytes. A log that exceeds it alone evicts even
    /// its newest event.
    pub(crate) memory: usize,
}

/// The newest evicted event of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evicted {
    /// Its sequence number, or an upper bound of it; 0 if no event was evicted.
    pub(crate) up_to: u64,
    /// Whether `up_to` is the sequence number itself. The log of a topic that was removed and
    /// forgotten knows only an upper bound.
    pub(crate) is_exact: bool,
}

/// The recent events of a topic, in the order of publication.
///
/// Each method that changes the log's memory also updates the shared [`MemoryCounter`].
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) limits: Limits,
    /// The memory of a topic besides its events. It counts only while the topic keeps events.
    topic_overhead: usize,
    pub(super) memory: MemoryShare,
    pub(super) entries: VecDeque<Entry>,
    bytes: usize,
    /// The offset at which the next small event starts. Offsets count the bytes of all appended
    /// events, and the padding around large ones, which align with blocks.
    pub(super) end: u64,
    evicted: Evicted,
    evicted_events: u64,
    /// Allocated once a subscriber is behind.
    pub(super) frames: Option<Box<Frames>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// The offset of its first byte; see [`Log::end`].
    pub(super) start: u64,
    published: Duration,
    pub(super) bytes: Bytes,
}

impl Entry {
    pub(super) const fn block(&self) -> u64 {
        self.start / BLOCK_SIZE
    }

    pub(super) const fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Log {
    pub(crate) const fn new(
        limits: Limits,
        topic_overhead: usize,
        evicted: Evicted,
        counter: Arc<MemoryCounter>,
    ) -> Self {
        Self {
            limits,
            topic_overhead,
            memory: MemoryShare::new(counter),
            entries: VecDeque::new(),
            bytes: 0,
            end: 0,
            evicted,
            evicted_events: 0,
            frames: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of kept events.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of events that were evicted.
    pub(crate) const fn evicted_events(&self) -> u64 {
        self.evicted_events
    }

    /// Returns the memory of the topic. A topic without events counts as 0, because only
    /// subscribers keep it alive.
    fn memory(&self) -> usize {
        if self.is_empty() { 0 } else { self.topic_overhead + self.events_memory() }
    }

    /// Returns the memory of the events and the frames.
    pub(crate) fn events_memory(&self) -> usize {
        let frames = self.frames.as_ref().map_or(0, |frames| frames.memory());
        self.entries.len() * ENTRY_OVERHEAD + self.bytes + frames
    }

    pub(super) fn update_memory(&mut self) {
        self.memory.set(self.memory());
    }

    pub(crate) const fn evicted(&self) -> Evicted {
        self.evicted
    }

    /// Appends an event, and evicts the oldest events until all limits are met at the time `now`.
    // Forced: with two users of this module, the compiler would not inline it into the path of each
    // event.
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

    /// Evicts the oldest events until all limits are met at the time `now`.
    pub(crate) fn trim(&mut self, now: Duration, drops: &mut DeferredDrops) {
        let Limits { events, bytes, age, memory } = self.limits;
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > events.max(1)
                || (self.bytes > bytes && self.entries.len() > 1)
                || now.saturating_sub(oldest.published) > age)
        {
            self.evict_oldest(drops);
        }
        // An event that is larger than the limit of the hub must not evict all other topics.
        while self.entries.len() * ENTRY_OVERHEAD + self.bytes > memory {
            self.evict_oldest(drops);
        }
        self.update_memory();
    }

    /// Returns the sequence number of the oldest event, and the time after which it is too old.
    pub(crate) fn oldest(&self) -> Option<(u64, Duration)> {
        let oldest = self.entries.front()?;
        Some((oldest.sequence, oldest.published.saturating_add(self.limits.age)))
    }

    /// Evicts the oldest events until at least `memory` bytes are freed or no event is left.
    pub(crate) fn evict(&mut self, memory: usize, drops: &mut DeferredDrops) {
        let target = self.memory().saturating_sub(memory);
        while self.memory() > target {
            self.evict_oldest(drops);
        }
        self.update_memory();
    }

    /// Evicts the oldest events up to `newest` until at least `memory` bytes are freed.
    #[cfg(feature = "runs")]
    pub(crate) fn evict_up_to(&mut self, newest: u64, memory: usize, drops: &mut DeferredDrops) {
        let target = self.memory().saturating_sub(memory);
        while self.memory() > target
            && self.entries.front().is_some_and(|oldest| oldest.sequence <= newest)
        {
            self.evict_oldest(drops);
        }
        self.update_memory();
    }

    /// Returns about the memory of the frames and of the events up to `newest`.
    #[cfg(feature = "runs")]
    pub(crate) fn memory_up_to(&self, newest: u64) -> usize {
        let count = self.index_after(newest);
        let (Some(first), Some(next)) = (self.entries.front(), self.entries.get(count)) else {
            return self.events_memory();
        };
        let frames = self.frames.as_ref().map_or(0, |frames| frames.memory());
        (next.start - first.start) as usize + count * ENTRY_OVERHEAD + frames
    }

    /// Returns whether `additional` bytes on the wire fit below `limit`.
    pub(crate) const fn has_room(&self, additional: usize, limit: usize) -> bool {
        self.bytes + additional <= limit
    }

    /// Evicts the oldest events up to the sequence number `up_to` until `additional` bytes on the
    /// wire fit below `limit`. Returns whether they do.
    pub(crate) fn make_room(
        &mut self,
        additional: usize,
        limit: usize,
        up_to: u64,
        drops: &mut DeferredDrops,
    ) -> bool {
        while !self.has_room(additional, limit)
            && self.entries.front().is_some_and(|oldest| oldest.sequence <= up_to)
        {
            self.evict_oldest(drops);
        }
        self.has_room(additional, limit)
    }

    /// Frees the memory of the list that the kept events do not need.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Evicts the kept frames.
    pub(crate) fn evict_frames(&mut self, drops: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            frames.evict(drops);
            self.update_memory();
        }
    }

    /// Returns whether frames are kept. They can be assembled again from the events.
    #[inline]
    pub(crate) fn keeps_frames(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.are_kept())
    }

    fn evict_oldest(&mut self, drops: &mut DeferredDrops) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes.len();
        self.evicted_events += 1;
        self.evicted = Evicted { up_to: oldest.sequence, is_exact: true };
        drops.add(oldest.bytes);
        self.remove_stale_frames(drops);
        // Free the memory that a burst has left.
        let capacity = self.entries.capacity();
        if capacity > MIN_CAPACITY && self.entries.len() < capacity / 4 {
            self.entries.shrink_to(capacity / 2);
        }
    }

    /// Removes the frames whose events have all been evicted.
    fn remove_stale_frames(&mut self, drops: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            let oldest = self.entries.front().map(Entry::block);
            frames.remove_before(oldest.unwrap_or(u64::MAX), drops);
            if oldest.is_none() {
                self.frames = None;
            }
        }
    }

    /// Copies the first events above `seen` until they exceed `max` bytes. Returns the sequence
    /// numbers of the first and the last one, and their bytes.
    #[cfg(feature = "runs")]
    pub(crate) fn copy_after(&self, seen: u64, max: usize) -> Option<(u64, u64, Bytes)> {
        let from = self.index_after(seen);
        let first = self.entries.get(from)?;
        if first.bytes.len() >= max || from + 1 == self.entries.len() {
            return Some((first.sequence, first.sequence, first.bytes.clone()));
        }
        let (mut last, mut bytes) = (first.sequence, Vec::new());
        for entry in self.entries.range(from..) {
            if !bytes.is_empty() && bytes.len() + entry.bytes.len() > max {
                break;
            }
            bytes.extend_from_slice(&entry.bytes);
            last = entry.sequence;
        }
        Some((first.sequence, last, bytes.into()))
    }

    /// Evicts all events, and treats the events up to `sequence` as evicted.
    #[cfg(feature = "runs")]
    pub(crate) fn skip_to(&mut self, sequence: u64, drops: &mut DeferredDrops) {
        self.evict(usize::MAX, drops);
        self.evicted = Evicted { up_to: sequence, is_exact: true };
    }

    /// Returns the newest evicted sequence number above `seen`, if any.
    pub(crate) fn evicted_after(&self, seen: u64) -> Option<u64> {
        (self.evicted.up_to > seen).then_some(self.evicted.up_to)
    }

    /// Returns the first kept sequence number above `seen`.
    pub(crate) fn next(&self, seen: u64) -> Option<u64> {
        self.entries.get(self.index_after(seen)).map(|entry| entry.sequence)
    }

    /// Returns the newest `count` sequence numbers up to `newest`, in descending order.
    pub(crate) fn recent(&self, count: usize, newest: u64) -> impl Iterator<Item = u64> {
        let end = self.index_after(newest);
        self.entries.range(..end).rev().take(count).map(|entry| entry.sequence)
    }

    /// Returns the index of the first entry above `seen`. It searches from the end in growing
    /// steps, because most subscribers have seen all but the newest events.
    pub(super) fn index_after(&self, seen: u64) -> usize {
        let is_seen = |at| self.entries.get(at).is_none_or(|entry: &Entry| entry.sequence <= seen);
        let mut end = self.entries.len();
        let mut step = 1;
        while let Some(at) = end.checked_sub(step)
            && !is_seen(at)
        {
            end = at;
            step *= 2;
        }
        let mut start = end.saturating_sub(step);
        while start < end {
            let middle = usize::midpoint(start, end);
            if is_seen(middle) {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        end
    }
}
