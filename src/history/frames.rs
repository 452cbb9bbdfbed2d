use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::memory::DeferredDrops;

/// The maximum number of frames that a log keeps even if no client holds them.
const MAX_KEPT: usize = 16;
/// The maximum number of frames that an access examines, to remove those that clients have dropped.
const EXAMINED_PER_ACCESS: usize = 4;
/// The memory of a frame in the map besides its bytes, measured with a counting allocator.
const ENTRY_MEMORY: usize = 170;

/// The frames of a log. Each frame is one buffer with copies of consecutive events, all of which
/// start in the same block of `BLOCK_SIZE` bytes. A few frames are kept, and their bytes count
/// towards the log's memory. Weak references let subscribers share the other frames while a client
/// holds them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    by_key: BTreeMap<FrameKey, Frame>,
    /// The keys of the kept frames, in the order in which the log began to keep them.
    kept: VecDeque<FrameKey>,
    kept_bytes: usize,
    last_examined: Option<FrameKey>,
}

/// The block of a frame, and the offsets of the block's part that is in the frame. `None` stands
/// for all events of the block that the log kept when the frame was assembled. Keys sort by block,
/// the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameKey {
    pub(super) block: u64,
    pub(super) part: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Frame {
    start: u64,
    bytes: Weak<Vec<u8>>,
    kept: Option<Bytes>,
}

/// An owner of a frame's bytes. [`Frames`] holds a weak reference to the bytes.
struct Owner(Arc<Vec<u8>>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Frames {
    pub(super) fn memory(&self) -> usize {
        self.kept_bytes + self.by_key.len() * ENTRY_MEMORY
    }

    /// Returns the `range` of a frame, or `None` if the frame is gone or lacks a part of the range.
    /// Keeps the frame if it has at most `room` bytes.
    pub(super) fn get(
        &mut self,
        key: FrameKey,
        range: &Range<u64>,
        room: usize,
        drops: &mut DeferredDrops,
    ) -> Option<Bytes> {
        self.remove_some_dropped();
        let frame = self.by_key.get_mut(&key)?;
        let start = frame.start;
        let bytes = match &frame.kept {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = Bytes::from_owner(Owner(frame.bytes.upgrade()?));
                self.keep(key, &bytes, room, drops);
                bytes
            }
        };
        slice(&bytes, start, range)
    }

    /// Adds a frame that begins at offset `start` and returns its `range`. Keeps the frame if it
    /// has at most `room` bytes.
    pub(super) fn add(
        &mut self,
        key: FrameKey,
        start: u64,
        bytes: Vec<u8>,
        range: &Range<u64>,
        room: usize,
        drops: &mut DeferredDrops,
    ) -> Option<Bytes> {
        self.remove_some_dropped();
        let shared = Arc::new(bytes);
        let weak = Arc::downgrade(&shared);
        let bytes = Bytes::from_owner(Owner(shared));
        let frame = Frame { start, bytes: weak, kept: None };
        if let Some(earlier) = self.by_key.insert(key, frame) {
            self.discard(key, earlier.kept, drops);
        }
        self.keep(key, &bytes, room, drops);
        slice(&bytes, start, range)
    }

    fn keep(&mut self, key: FrameKey, bytes: &Bytes, room: usize, drops: &mut DeferredDrops) {
        if bytes.len() > room {
            return;
        }
        if self.kept.len() >= MAX_KEPT {
            self.evict_oldest(drops);
        }
        if let Some(frame) = self.by_key.get_mut(&key) {
            self.kept_bytes += bytes.len();
            frame.kept = Some(bytes.clone());
            self.kept.push_back(key);
        }
    }

    pub(super) fn are_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Evicts the kept frames. Frames that a client holds are still shared.
    pub(super) fn evict(&mut self, drops: &mut DeferredDrops) {
        while self.evict_oldest(drops) {
            self.remove_some_dropped();
        }
        self.remove_some_dropped();
    }

    fn evict_oldest(&mut self, drops: &mut DeferredDrops) -> bool {
        let Some(key) = self.kept.pop_front() else { return false };
        let kept = self.by_key.get_mut(&key).and_then(|frame| frame.kept.take());
        self.subtract(kept, drops);
        true
    }

    pub(super) fn remove_before(&mut self, block: u64, drops: &mut DeferredDrops) {
        while let Some(entry) = self.by_key.first_entry()
            && entry.key().block < block
        {
            let (key, frame) = entry.remove_entry();
            self.discard(key, frame.kept, drops);
        }
    }

    fn remove_some_dropped(&mut self) {
        let mut dropped = [None; EXAMINED_PER_ACCESS];
        let mut last = None;
        let from = self.last_examined.map_or(Unbounded, Excluded);
        let next = self.by_key.range((from, Unbounded));
        for ((key, frame), dropped) in next.zip(&mut dropped) {
            last = Some(*key);
            *dropped = (frame.bytes.strong_count() == 0).then_some(*key);
        }
        // `None` at the end of the map: the next call starts over.
        self.last_examined = last;
        for key in dropped.into_iter().flatten() {
            self.by_key.remove(&key);
        }
    }

    fn discard(&mut self, key: FrameKey, kept: Option<Bytes>, drops: &mut DeferredDrops) {
        if kept.is_some() {
            self.kept.retain(|other| *other != key);
            self.subtract(kept, drops);
        }
    }

    fn subtract(&mut self, kept: Option<Bytes>, drops: &mut DeferredDrops) {
        if let Some(bytes) = kept {
            self.kept_bytes -= bytes.len();
            drops.add(bytes);
        }
    }
}

fn slice(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    // `Bytes::slice` panics beyond the end.
    (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
}

#[cfg(test)]
mod tests {
    use super::{DeferredDrops, ENTRY_MEMORY, FrameKey, Frames, MAX_KEPT};

    fn whole(block: u64) -> FrameKey {
        FrameKey { block, part: None }
    }

    fn add(frames: &mut Frames, blocks: std::ops::Range<u64>, drops: &mut DeferredDrops) {
        for block in blocks {
            let range = block * 10..block * 10 + 5;
            let key = whole(block);
            let bytes = frames.add(key, range.start, vec![0; 5], &range, 5, drops);
            assert_eq!(bytes.unwrap().len(), 5);
        }
    }

    #[test]
    fn frames_of_evicted_blocks_are_removed_with_their_memory() {
        let (mut frames, mut drops) = (Frames::default(), DeferredDrops::default());
        add(&mut frames, 0..4, &mut drops);
        assert_eq!(frames.memory(), 4 * (5 + ENTRY_MEMORY));
        frames.remove_before(3, &mut drops);
        assert_eq!(frames.memory(), 5 + ENTRY_MEMORY);
        assert!(frames.get(whole(2), &(20..25), 5, &mut drops).is_none());
        assert!(frames.get(whole(3), &(31..35), 5, &mut drops).is_some());
        frames.evict(&mut drops);
        assert!(!frames.are_kept());
        assert_eq!(frames.memory(), ENTRY_MEMORY, "its bytes are not dropped yet");
    }

    #[test]
    fn newest_frames_are_kept_up_to_their_maximum_number() {
        let (mut frames, mut drops) = (Frames::default(), DeferredDrops::default());
        add(&mut frames, 0..40, &mut drops);
        assert_eq!((frames.kept.len(), frames.kept_bytes), (MAX_KEPT, 5 * MAX_KEPT));
        drop(std::mem::take(&mut drops));
        // Each access examines a few frames.
        for _ in 0..20 {
            assert!(frames.get(whole(39), &(390..395), 5, &mut drops).is_some());
        }
        assert_eq!(frames.memory(), MAX_KEPT * (5 + ENTRY_MEMORY));
    }
}
