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
pub const ENTRY_OVERHEAD: usize = 112;
/// The number of events that a search looks at one by one.
const NEWEST: usize = 4;

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
    pub(super) bytes: usize,
    /// The offset at which the next small event starts. Offsets count the bytes of all appended
    /// events, and the padding around large ones, which align with blocks.
    pub(super) end: u64,
    pub(crate) evicted: Evicted,
    /// The number of events that were evicted.
    pub(crate) evicted_events: u64,
    /// Allocated once a subscriber is behind.
    pub(super) frames: Option<Box<Frames>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// The offset of its first byte; see [`Log::end`].
    pub(super) start: u64,
    pub(super) published: Duration,
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

    /// Raises the limits of the number, the size and the age of events to at least these. From then
    /// on, the log has a limit of its own for its memory, which no longer counts as that of all logs.
    pub(crate) fn raise_limits(&mut self, events: usize, bytes: usize, age: Duration) {
        let limits = &mut self.limits;
        limits.events = limits.events.max(events);
        limits.bytes = limits.bytes.max(bytes);
        limits.age = limits.age.max(age);
        limits.memory = limits.memory.max(events * ENTRY_OVERHEAD + bytes);
        self.memory.leave_total();
    }

    /// Returns whether the log shares the limit of the total memory with other logs.
    #[inline]
    pub(crate) const fn shares_memory(&self) -> bool {
        self.memory.is_in_total()
    }

    /// Returns the number of kept events.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the memory of the topic. A topic without events counts as 0, because only
    /// subscribers keep it alive.
    pub(super) fn memory(&self) -> usize {
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

    /// Returns the sequence number of the oldest event, and the time after which it is too old.
    pub(crate) fn oldest(&self) -> Option<(u64, Duration)> {
        let oldest = self.entries.front()?;
        Some((oldest.sequence, oldest.published.saturating_add(self.limits.age)))
    }

    /// Returns whether frames are kept. They can be assembled again from the events.
    #[inline]
    pub(crate) fn keeps_frames(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.are_kept())
    }

    /// Copies the first events above `seen` until they exceed `max` bytes. Returns the sequence
    /// numbers of the first and the last one, and their bytes.
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
        let mut bytes = Vec::with_capacity(len);
        let entries = self.entries.range(from..).take(count);
        entries.for_each(|entry| bytes.extend_from_slice(&entry.bytes));
        Some((first.sequence, last, bytes.into()))
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

    /// Returns the index of the first entry above `seen`. It looks at the newest events first,
    /// because most subscribers have seen all others.
    pub(super) fn index_after(&self, seen: u64) -> usize {
        let is_seen = |entry: &Entry| entry.sequence <= seen;
        let unseen =
            self.entries.iter().rev().take(NEWEST).take_while(|entry| !is_seen(entry)).count();
        if unseen < NEWEST {
            self.entries.len() - unseen
        } else {
            self.entries.partition_point(is_seen)
        }
    }
}
