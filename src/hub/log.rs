use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{Retention, tombstones::Lost};

/// Frames end where the log's blocks of so many bytes do, so that subscribers which are behind are soon
/// at the same place, and send the same bytes.
const BLOCK: u64 = 16 * 1024;
/// An event of so many bytes is given alone, as it is: frames are not much larger than a block, whatever is
/// published.
const LARGE: usize = 4 * 1024;
/// What an event takes besides its bytes on the wire, counted by an allocator: its entry, and what the
/// references to its bytes are counted in.
const BESIDES: usize = 112;
/// A list of so many events is not made smaller.
const SMALL: usize = 16;
/// How many frames are kept for others who are at the same place.
const SHARED_FRAMES: usize = 16;

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
    /// How many bytes were ever appended.
    end: u64,
    /// The newest event that is not kept any more; 0 if there is none.
    lost: Lost,
    frames: VecDeque<SharedFrame>,
    frames_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Where it begins among all bytes that were ever appended.
    start: u64,
    published: Duration,
    bytes: Bytes,
}

#[derive(Debug)]
struct SharedFrame {
    first: u64,
    last: u64,
    bytes: Bytes,
}

/// Events that follow each other, as one piece.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) last: u64,
    pub(super) bytes: Bytes,
}

/// Bytes that are not kept any more, to be dropped outside of all locks.
#[derive(Debug, Default)]
pub(super) struct Trash {
    /// A topic that is full lets go of one for each that comes: that needs no list.
    one: Bytes,
    more: Vec<Bytes>,
}

impl Trash {
    fn add(&mut self, bytes: Bytes) {
        if self.one.is_empty() {
            self.one = bytes;
        } else {
            self.more.push(bytes);
        }
    }
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
            frames: VecDeque::new(),
            frames_bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How much memory that takes which is kept, about. Where nothing is, the topic is there for its
    /// subscribers.
    pub(super) fn memory(&self) -> usize {
        if self.is_empty() { 0 } else { self.besides + self.events_memory() }
    }

    /// As much of it as the events are.
    pub(super) fn events_memory(&self) -> usize {
        self.entries.len() * BESIDES + self.bytes + self.frames_bytes
    }

    pub(super) const fn lost(&self) -> Lost {
        self.lost
    }

    pub(super) const fn lost_to(&self) -> u64 {
        self.lost.to
    }

    pub(super) fn push(&mut self, sequence: u64, bytes: Bytes, published: Duration) {
        self.bytes += bytes.len();
        let start = self.end;
        self.end += bytes.len() as u64;
        self.entries.push_back(Entry { sequence, start, published, bytes });
    }

    /// Lets go of what is not to be kept at this time.
    pub(super) fn trim(&mut self, now: Duration, trash: &mut Trash) {
        let Retention { events, bytes, age } = self.retention;
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > events.max(1)
                || (self.bytes > bytes && self.entries.len() > 1)
                || now.saturating_sub(oldest.published) > age)
        {
            self.drop_oldest(trash);
        }
        // One that does not fit anywhere is not worth all that others keep.
        while self.entries.len() * BESIDES + self.bytes > self.budget {
            self.drop_oldest(trash);
        }
    }

    /// Lets go of the oldest events that take so much memory.
    pub(super) fn free(&mut self, memory: usize, trash: &mut Trash) {
        let enough = self.memory().saturating_sub(memory);
        while self.memory() > enough {
            self.drop_oldest(trash);
        }
    }

    /// Lets go of what can be made again.
    pub(super) fn free_frames(&mut self, trash: &mut Trash) {
        while self.drop_oldest_frame(trash) {}
    }

    fn drop_oldest(&mut self, trash: &mut Trash) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes.len();
        self.lost = Lost { to: oldest.sequence, is_own: true };
        trash.add(oldest.bytes);
        while self.frames.front().is_some_and(|frame| frame.first <= oldest.sequence) {
            self.drop_oldest_frame(trash);
        }
        // A burst is not paid for ever.
        let capacity = self.entries.capacity();
        if capacity > SMALL && self.entries.len() < capacity / 4 {
            self.entries.shrink_to(capacity / 2);
        }
    }

    fn drop_oldest_frame(&mut self, trash: &mut Trash) -> bool {
        let Some(frame) = self.frames.pop_front() else {
            return false;
        };
        self.frames_bytes -= frame.bytes.len();
        trash.add(frame.bytes);
        true
    }

    /// The newest event that was lost of those which somebody has not seen who has seen all up to `seen`.
    pub(super) fn lost_after(&self, seen: u64) -> Option<u64> {
        (self.lost.to > seen).then_some(self.lost.to)
    }

    /// The first event after `seen`.
    pub(super) fn next(&self, seen: u64) -> Option<u64> {
        self.entries.get(self.after(seen)).map(|entry| entry.sequence)
    }

    /// The events after `seen` and before `bound`, up to the end of their block, or to one that is large.
    pub(super) fn run(&mut self, seen: u64, bound: u64, trash: &mut Trash) -> Option<Run> {
        let from = self.after(seen);
        let first = self.entries.get(from).filter(|entry| entry.sequence < bound)?;
        let block = first.start / BLOCK;
        let is_next = |entry: &&Entry| {
            entry.sequence < bound && entry.start / BLOCK == block && entry.bytes.len() < LARGE
        };
        let count = match first.bytes.len() {
            ..LARGE => self.entries.range(from + 1..).take_while(is_next).count(),
            _ => 0,
        };
        if count == 0 {
            return Some(Run { last: first.sequence, bytes: first.bytes.clone() });
        }
        let last = self.entries.get(from + count)?;
        let len = last.start + last.bytes.len() as u64 - first.start;
        let (first, last) = (first.sequence, last.sequence);
        let mut made = self.frames.iter().rev();
        if let Some(frame) = made.find(|frame| frame.last == last && frame.first == first) {
            return Some(Run { last, bytes: frame.bytes.clone() });
        }
        // It is not much more than a block.
        let mut bytes = BytesMut::with_capacity(len as usize);
        for entry in self.entries.range(from..=from + count) {
            bytes.extend_from_slice(&entry.bytes);
        }
        let bytes = bytes.freeze();
        if self.frames.len() == SHARED_FRAMES {
            self.drop_oldest_frame(trash);
        }
        self.frames_bytes += bytes.len();
        self.frames.push_back(SharedFrame { first, last, bytes: bytes.clone() });
        Some(Run { last, bytes })
    }

    /// The newest `count` sequence numbers up to `newest`, from the newest on.
    pub(super) fn recent(&self, count: usize, newest: u64) -> impl Iterator<Item = u64> {
        let end = self.after(newest);
        self.entries.range(..end).rev().take(count).map(|entry| entry.sequence)
    }

    /// The place of the first event after `seen`, looked for from the end on: mostly somebody has seen all
    /// but the newest.
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
