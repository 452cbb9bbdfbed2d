use std::{
    collections::{BTreeMap, VecDeque},
    ops::{
        Bound::{Excluded, Unbounded},
        Range,
    },
    sync::{Arc, Weak},
};

use bytes::Bytes;

use super::deferred_drops::DeferredDrops;

/// How many frames a topic keeps although no client may hold them any more.
const KEPT: usize = 16;
/// How many frames are examined for each one that is added, to forget those that are gone.
const EXAMINED: usize = 4;

/// The frames that were made for subscribers of a topic which are behind, to be given to others at
/// the same place.
///
/// The newest few are kept, and belong to what the hub keeps. All others are known for as long as a
/// client holds them: to share them costs no memory, and a copy would.
#[derive(Debug, Default)]
pub(super) struct Frames {
    by_key: BTreeMap<FrameKey, Frame>,
    /// The places of those that are kept, the oldest first.
    kept: VecDeque<FrameKey>,
    kept_bytes: usize,
    examined_to: Option<FrameKey>,
}

/// Which events of a log a frame consists of. They are in the log's order, so the oldest block is
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameKey {
    block: u64,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// All events of the block that were kept when the frame was made.
    Whole,
    Range(u64, u64),
}

#[derive(Debug)]
struct Frame {
    /// Where its bytes begin in the log.
    start: u64,
    bytes: Weak<Vec<u8>>,
    kept: Option<Bytes>,
}

/// Lets a frame's `Bytes` share its memory with the list, which does not keep it alive.
struct Owner(Arc<Vec<u8>>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FrameKey {
    pub(super) const fn whole(block: u64) -> Self {
        Self { block, part: Part::Whole }
    }

    pub(super) const fn range(block: u64, range: &Range<u64>) -> Self {
        Self { block, part: Part::Range(range.start, range.end) }
    }
}

impl Frames {
    /// The memory of the frames that are kept.
    pub(super) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Returns the bytes `range` of the log, if the frame at this key is known and has them.
    pub(super) fn get(
        &mut self,
        key: FrameKey,
        range: &Range<u64>,
        trash: &mut DeferredDrops,
    ) -> Option<Bytes> {
        let frame = self.by_key.get_mut(&key)?;
        let start = frame.start;
        let bytes = match &frame.kept {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = Bytes::from_owner(Owner(frame.bytes.upgrade()?));
                self.keep(key, &bytes, trash);
                bytes
            }
        };
        slice(&bytes, start, range)
    }

    /// Adds a frame whose bytes begin at `start` in the log, and returns its bytes `range`.
    pub(super) fn add(
        &mut self,
        key: FrameKey,
        start: u64,
        bytes: Vec<u8>,
        range: &Range<u64>,
        trash: &mut DeferredDrops,
    ) -> Option<Bytes> {
        self.forget_some();
        if self.kept.len() >= KEPT {
            self.free_oldest(trash);
        }
        let shared = Arc::new(bytes);
        let weak = Arc::downgrade(&shared);
        let bytes = Bytes::from_owner(Owner(shared));
        let frame = Frame { start, bytes: weak, kept: Some(bytes.clone()) };
        if let Some(earlier) = self.by_key.insert(key, frame) {
            self.let_go(key, earlier.kept, trash);
        }
        self.kept_bytes += bytes.len();
        self.kept.push_back(key);
        slice(&bytes, start, range)
    }

    fn keep(&mut self, key: FrameKey, bytes: &Bytes, trash: &mut DeferredDrops) {
        if self.kept.len() >= KEPT {
            self.free_oldest(trash);
        }
        if let Some(frame) = self.by_key.get_mut(&key) {
            self.kept_bytes += bytes.len();
            frame.kept = Some(bytes.clone());
            self.kept.push_back(key);
        }
    }

    /// Frees the kept frames. Those that a client holds are still known.
    pub(super) fn free(&mut self, trash: &mut DeferredDrops) {
        while self.free_oldest(trash) {}
    }

    fn free_oldest(&mut self, trash: &mut DeferredDrops) -> bool {
        let Some(key) = self.kept.pop_front() else { return false };
        let kept = self.by_key.get_mut(&key).and_then(|frame| frame.kept.take());
        self.count_out(kept, trash);
        true
    }

    /// Forgets the frames before this block, whose events the log does not keep any more.
    pub(super) fn forget_before(&mut self, block: u64, trash: &mut DeferredDrops) {
        while let Some(entry) = self.by_key.first_entry()
            && entry.key().block < block
        {
            let (key, frame) = entry.remove_entry();
            self.let_go(key, frame.kept, trash);
        }
    }

    /// Forgets frames that nobody holds, the next few in turn.
    fn forget_some(&mut self) {
        let mut gone = [None; EXAMINED];
        let mut last = None;
        let from = self.examined_to.map_or(Unbounded, Excluded);
        let next = self.by_key.range((from, Unbounded));
        for ((key, frame), gone) in next.zip(&mut gone) {
            last = Some(*key);
            *gone = (frame.bytes.strong_count() == 0).then_some(*key);
        }
        // At the end of the list it begins anew.
        self.examined_to = last;
        for key in gone.into_iter().flatten() {
            self.by_key.remove(&key);
        }
    }

    fn let_go(&mut self, key: FrameKey, kept: Option<Bytes>, trash: &mut DeferredDrops) {
        if kept.is_some() {
            self.kept.retain(|other| *other != key);
            self.count_out(kept, trash);
        }
    }

    fn count_out(&mut self, kept: Option<Bytes>, trash: &mut DeferredDrops) {
        if let Some(bytes) = kept {
            self.kept_bytes -= bytes.len();
            trash.add(bytes);
        }
    }
}

/// The bytes `range` of the log, of those that begin at `start`.
fn slice(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    // `Bytes::slice` panics beyond the end.
    (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
}
