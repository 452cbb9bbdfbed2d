use std::ops::Range;

use bytes::Bytes;

use super::{
    deferred_drops::DeferredDrops,
    frames::FrameKey,
    log::{BLOCK_SIZE, Entry, Log},
};

/// The minimum size in bytes of a slice of a complete block's shared frame. A smaller part is
/// copied, because a client that holds a slice holds the whole block.
const MIN_SHARED_SLICE: u64 = 4 * 1024;

/// Consecutive events of a log in one buffer.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The sequence number of its last event.
    pub(crate) last: u64,
    /// The sequence number of the event after the batch, if there is one.
    pub(crate) next: Option<u64>,
    pub(crate) bytes: Bytes,
}

impl Log {
    /// Returns the first events above `seen` that are below `bound` and in the same block.
    // Forced: with two users of this module, the compiler would not inline it into the path of each
    // event.
    #[inline(always)]
    pub(crate) fn batch(
        &mut self,
        seen: u64,
        bound: u64,
        drops: &mut DeferredDrops,
    ) -> Option<Batch> {
        let from = self.index_after(seen);
        let first = self.entries.get(from).filter(|entry| entry.sequence < bound)?;
        // The common case: a subscriber has seen all but the newest event.
        if from + 1 == self.entries.len() {
            return Some(Batch { last: first.sequence, next: None, bytes: first.bytes.clone() });
        }
        let block = first.block();
        let is_in_batch = |entry: &Entry| entry.sequence < bound && entry.block() <= block;
        let to = self.entries.partition_point(is_in_batch);
        let next = self.entries.get(to).map(|entry| entry.sequence);
        if to == from + 1 {
            return Some(Batch { last: first.sequence, next, bytes: first.bytes.clone() });
        }
        let last = self.entries.get(to - 1)?.sequence;
        Some(Batch { last, next, bytes: self.frame(from..to, drops)? })
    }

    /// Returns entries of one block as a frame, which subscribers share.
    fn frame(&mut self, entries: Range<usize>, drops: &mut DeferredDrops) -> Option<Bytes> {
        let first = self.entries.get(entries.start)?;
        let block = first.block();
        let range = first.start..self.entries.get(entries.end - 1)?.end();
        let is_complete = self.end / BLOCK_SIZE > block;
        let is_whole = is_complete && range.end - range.start >= MIN_SHARED_SLICE;
        let key = if is_whole { FrameKey::whole(block) } else { FrameKey::range(block, &range) };
        // Readers must not fill memory that only publishers evict.
        let room = self.memory.room(self.limits.memory);
        let frame = match self.frames.get_or_insert_default().get(key, &range, room, drops) {
            Some(frame) => Some(frame),
            None => {
                let copied = if is_whole { self.entries_of(block) } else { entries };
                let start = self.entries.get(copied.start)?.start;
                let bytes = self.copy(copied, start)?;
                self.frames.get_or_insert_default().add(key, start, bytes, &range, room, drops)
            }
        };
        self.update_memory();
        frame
    }

    fn copy(&self, entries: Range<usize>, start: u64) -> Option<Vec<u8>> {
        let end = self.entries.get(entries.end - 1)?.end();
        // At most a block and a small event.
        let mut bytes = Vec::with_capacity((end - start) as usize);
        for entry in self.entries.range(entries) {
            bytes.extend_from_slice(&entry.bytes);
        }
        Some(bytes)
    }

    /// Returns all kept entries of `block`.
    fn entries_of(&self, block: u64) -> Range<usize> {
        let start = self.entries.partition_point(|entry| entry.block() < block);
        start..self.entries.partition_point(|entry| entry.block() <= block)
    }
}
