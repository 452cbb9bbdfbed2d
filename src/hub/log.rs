use std::{collections::VecDeque, ops::Range, time::Duration};

use bytes::Bytes;

use super::{
    Retention,
    deferred_drops::DeferredDrops,
    frames::{FrameKey, Frames},
    tombstones::Lost,
};

/// Frames end where the log's blocks of so many bytes do, so that subscribers which are behind are
/// soon at the same place, and send the same bytes.
const BLOCK: u64 = 16 * 1024;
/// An event of so many bytes is a block of its own, and given as it is: frames are not much larger
/// than a block, whatever is published.
const LARGE: usize = 4 * 1024;
/// So many bytes of a block that is complete are given as a part of the frame of the whole block,
/// which others share whatever part of it they need. Fewer are copied: a client that holds them
/// would hold the block.
const WORTH_SHARING: u64 = 4 * 1024;
/// What an event takes besides its bytes on the wire, counted by an allocator: its entry, and what
/// the references to its bytes are counted in.
const ENTRY_OVERHEAD: usize = 112;
/// A list of so many events is not made smaller.
const SMALL: usize = 16;

/// The events of a topic, in the order of the hub.
#[derive(Debug)]
pub(super) struct Log {
    retention: Retention,
    /// How much memory its events may take.
    budget: usize,
    /// What the topic takes besides its events.
    besides: usize,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Where the next event begins: after all bytes that were ever appended, and the space that
    /// large events leave to the ends of their blocks.
    end: u64,
    /// The newest event that is not kept any more; 0 if there is none.
    lost: Lost,
    /// Only where subscribers are behind.
    frames: Option<Box<Frames>>,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Where it begins, on the scale of [`Log::end`].
    start: u64,
    published: Duration,
    bytes: Bytes,
}

impl Entry {
    const fn block(&self) -> u64 {
        self.start / BLOCK
    }

    const fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Events that follow each other, as one piece.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) last: u64,
    /// The first event after it.
    pub(super) next: Option<u64>,
    pub(super) bytes: Bytes,
}

impl Log {
    /// Of a topic that takes so much memory `besides` its events.
    pub(super) fn new(retention: Retention, budget: usize, lost: Lost, besides: usize) -> Self {
        Self {
            retention,
            budget,
            besides,
            entries: VecDeque::new(),
            bytes: 0,
            end: 0,
            lost,
            frames: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How much memory that takes which is kept, about. Where nothing is, the topic is there for
    /// its subscribers.
    pub(super) fn memory(&self) -> usize {
        if self.is_empty() { 0 } else { self.besides + self.events_memory() }
    }

    /// As much of it as the events are.
    pub(super) fn events_memory(&self) -> usize {
        let frames = self.frames.as_ref().map_or(0, |frames| frames.kept_bytes());
        self.entries.len() * ENTRY_OVERHEAD + self.bytes + frames
    }

    pub(super) const fn lost(&self) -> Lost {
        self.lost
    }

    pub(super) const fn lost_to(&self) -> u64 {
        self.lost.to
    }

    pub(super) fn push(&mut self, sequence: u64, bytes: Bytes, published: Duration) {
        self.bytes += bytes.len();
        let is_large = bytes.len() >= LARGE;
        let start = if is_large { self.end.next_multiple_of(BLOCK) } else { self.end };
        let end = start + bytes.len() as u64;
        self.end = if is_large { end.next_multiple_of(BLOCK) } else { end };
        self.entries.push_back(Entry { sequence, start, published, bytes });
    }

    /// Lets go of what is not to be kept at this time.
    pub(super) fn trim(&mut self, now: Duration, trash: &mut DeferredDrops) {
        let Retention { events, bytes, age } = self.retention;
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > events.max(1)
                || (self.bytes > bytes && self.entries.len() > 1)
                || now.saturating_sub(oldest.published) > age)
        {
            self.drop_oldest(trash);
        }
        // One that does not fit anywhere is not worth all that others keep.
        while self.entries.len() * ENTRY_OVERHEAD + self.bytes > self.budget {
            self.drop_oldest(trash);
        }
    }

    /// Lets go of the oldest events that take so much memory.
    pub(super) fn free(&mut self, memory: usize, trash: &mut DeferredDrops) {
        let enough = self.memory().saturating_sub(memory);
        while self.memory() > enough {
            self.drop_oldest(trash);
        }
    }

    /// Lets go of what can be made again.
    pub(super) fn free_frames(&mut self, trash: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            frames.free(trash);
        }
    }

    fn drop_oldest(&mut self, trash: &mut DeferredDrops) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes.len();
        self.lost = Lost { to: oldest.sequence, is_own: true };
        trash.add(oldest.bytes);
        self.forget_frames(trash);
        // A burst is not paid for ever.
        let capacity = self.entries.capacity();
        if capacity > SMALL && self.entries.len() < capacity / 4 {
            self.entries.shrink_to(capacity / 2);
        }
    }

    /// Forgets the frames of which no event is kept any more.
    fn forget_frames(&mut self, trash: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            let oldest = self.entries.front().map(Entry::block);
            frames.forget_before(oldest.unwrap_or(u64::MAX), trash);
            if oldest.is_none() {
                self.frames = None;
            }
        }
    }

    /// The newest event that was lost of those which somebody has not seen who has seen all up to
    /// `seen`.
    pub(super) fn lost_after(&self, seen: u64) -> Option<u64> {
        (self.lost.to > seen).then_some(self.lost.to)
    }

    /// The first event after `seen`.
    pub(super) fn next(&self, seen: u64) -> Option<u64> {
        self.entries.get(self.after(seen)).map(|entry| entry.sequence)
    }

    /// The events after `seen` and before `bound`, up to the end of their block.
    pub(super) fn run(&mut self, seen: u64, bound: u64, trash: &mut DeferredDrops) -> Option<Run> {
        let from = self.after(seen);
        let first = self.entries.get(from).filter(|entry| entry.sequence < bound)?;
        // Mostly a subscriber has seen all but the newest.
        if from + 1 == self.entries.len() {
            return Some(Run { last: first.sequence, next: None, bytes: first.bytes.clone() });
        }
        let block = first.block();
        let is_in = |entry: &Entry| entry.sequence < bound && entry.block() == block;
        let to = self.end_of(from + 1, is_in);
        let next = self.entries.get(to).map(|entry| entry.sequence);
        if to == from + 1 {
            return Some(Run { last: first.sequence, next, bytes: first.bytes.clone() });
        }
        let last = self.entries.get(to - 1)?.sequence;
        Some(Run { last, next, bytes: self.frame(from..to, trash)? })
    }

    /// These events of one block as one piece, which is shared.
    fn frame(&mut self, events: Range<usize>, trash: &mut DeferredDrops) -> Option<Bytes> {
        let first = self.entries.get(events.start)?;
        let block = first.block();
        let range = first.start..self.entries.get(events.end - 1)?.end();
        let is_complete = self.end / BLOCK > block;
        let is_whole = is_complete && range.end - range.start >= WORTH_SHARING;
        let key = if is_whole { FrameKey::whole(block) } else { FrameKey::range(block, &range) };
        let frames = self.frames.get_or_insert_default();
        if let Some(bytes) = frames.get(key, &range, trash) {
            return Some(bytes);
        }
        let copied = if is_whole { self.block_around(&events, block) } else { events };
        let start = self.entries.get(copied.start)?.start;
        let end = self.entries.get(copied.end - 1)?.end();
        // It is not much more than a block.
        let mut bytes = Vec::with_capacity((end - start) as usize);
        for entry in self.entries.range(copied) {
            bytes.extend_from_slice(&entry.bytes);
        }
        self.frames.get_or_insert_default().add(key, start, bytes, &range, trash)
    }

    /// All events of the block of which these are a part.
    fn block_around(&self, events: &Range<usize>, block: u64) -> Range<usize> {
        let start = self.entries.partition_point(|entry| entry.block() < block);
        start..self.end_of(events.end, |entry| entry.block() == block)
    }

    /// The end of the entries that are in a run of which all before `from` are. Near ones are found
    /// sooner.
    fn end_of(&self, from: usize, is_in: impl Fn(&Entry) -> bool) -> usize {
        let is_in = |at: usize| self.entries.get(at).is_some_and(&is_in);
        let (mut start, mut step) = (from, 1);
        while is_in(start + step - 1) {
            start += step;
            step *= 2;
        }
        // It is less than a step away.
        let mut end = start + step - 1;
        while start < end {
            let middle = usize::midpoint(start, end);
            if is_in(middle) {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        start
    }

    /// The newest `count` sequence numbers up to `newest`, from the newest on.
    pub(super) fn recent(&self, count: usize, newest: u64) -> impl Iterator<Item = u64> {
        let end = self.after(newest);
        self.entries.range(..end).rev().take(count).map(|entry| entry.sequence)
    }

    /// The place of the first event after `seen`, looked for from the end on: mostly somebody has
    /// seen all but the newest.
    fn after(&self, seen: u64) -> usize {
        let is_seen = |at| self.entries.get(at).is_none_or(|entry: &Entry| entry.sequence <= seen);
        // All from here on is not seen.
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
