use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use super::Retention;

/// Frames end where the log's blocks of so many bytes do, so that subscribers which are behind are soon
/// at the same place, and send the same bytes.
const BLOCK: u64 = 16 * 1024;
/// How many frames are kept for others who are at the same place.
const SHARED_FRAMES: usize = 16;

/// The events of a topic, in the order of the hub.
#[derive(Debug)]
pub(super) struct Log {
    retention: Retention,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// How many bytes were ever appended.
    end: u64,
    /// The newest event that is not kept any more; 0 if there is none.
    lost_to: u64,
    frames: VecDeque<SharedFrame>,
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

/// What comes next for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Events up to this one were missed.
    Gap(u64),
    Event(u64),
}

/// Events that follow each other, as one piece.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) last: u64,
    pub(super) bytes: Bytes,
}

/// Bytes that are not kept any more, to be dropped outside of all locks.
pub(super) type Trash = Vec<Bytes>;

impl Log {
    pub(super) fn new(retention: Retention, lost_to: u64) -> Self {
        Self {
            retention,
            entries: VecDeque::new(),
            bytes: 0,
            end: 0,
            lost_to,
            frames: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes are kept.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn lost_to(&self) -> u64 {
        self.lost_to
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
    }

    /// Lets go of the oldest events that take so many bytes.
    pub(super) fn free(&mut self, bytes: usize, trash: &mut Trash) {
        let enough = self.bytes.saturating_sub(bytes);
        while self.bytes > enough {
            self.drop_oldest(trash);
        }
    }

    fn drop_oldest(&mut self, trash: &mut Trash) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes.len();
        self.lost_to = oldest.sequence;
        trash.push(oldest.bytes);
        while let Some(frame) = self.frames.front()
            && frame.first <= self.lost_to
            && let Some(frame) = self.frames.pop_front()
        {
            trash.push(frame.bytes);
        }
    }

    /// What comes next for somebody who has seen the events up to `seen`.
    pub(super) fn next(&self, seen: u64) -> Next {
        if self.lost_to > seen {
            return Next::Gap(self.lost_to);
        }
        match self.entries.get(self.after(seen)) {
            Some(entry) => Next::Event(entry.sequence),
            None => Next::Nothing,
        }
    }

    /// The events after `seen` and before `bound`, up to the end of their block; there must be one.
    pub(super) fn run(&mut self, seen: u64, bound: u64, trash: &mut Trash) -> Option<Run> {
        let from = self.after(seen);
        let first = self.entries.get(from)?;
        let (block, oldest) = (first.start / BLOCK, first.sequence);
        let (count, last, len) = self
            .entries
            .range(from..)
            .take_while(|entry| entry.sequence < bound && entry.start / BLOCK == block)
            .fold((0, 0, 0), |(count, _, len), entry| {
                (count + 1, entry.sequence, len + entry.bytes.len())
            });
        match count {
            0 => None,
            1 => Some(Run { last, bytes: first.bytes.clone() }),
            _ => {
                let made = self
                    .frames
                    .iter()
                    .rev()
                    .find(|frame| frame.last == last && frame.first == oldest);
                if let Some(frame) = made {
                    return Some(Run { last, bytes: frame.bytes.clone() });
                }
                let mut bytes = BytesMut::with_capacity(len);
                for entry in self.entries.range(from..from + count) {
                    bytes.extend_from_slice(&entry.bytes);
                }
                let bytes = bytes.freeze();
                if self.frames.len() == SHARED_FRAMES {
                    trash.extend(self.frames.pop_front().map(|frame| frame.bytes));
                }
                self.frames.push_back(SharedFrame { first: oldest, last, bytes: bytes.clone() });
                Some(Run { last, bytes })
            }
        }
    }

    /// The newest `count` sequence numbers up to `newest`, from the newest on.
    pub(super) fn recent(&self, count: usize, newest: u64) -> impl Iterator<Item = u64> {
        let end = self.after(newest);
        self.entries.range(..end).rev().take(count).map(|entry| entry.sequence)
    }

    /// The place of the first event after `seen`.
    fn after(&self, seen: u64) -> usize {
        // Mostly somebody has seen all but the newest.
        match self.entries.back() {
            Some(newest) if newest.sequence <= seen => self.entries.len(),
            _ => self.entries.partition_point(|entry| entry.sequence <= seen),
        }
    }
}
