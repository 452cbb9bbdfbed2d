//! Where the events of a log are evicted.

use std::time::Duration;

use super::{
    deferred_drops::DeferredDrops,
    log::{ENTRY_OVERHEAD, Entry, Evicted, Limits, Log},
};

/// The capacity below which the list of entries does not shrink.
const MIN_CAPACITY: usize = 16;

impl Log {
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
        self.evict_while(u64::MAX, drops, |log| {
            log.entries.len() * ENTRY_OVERHEAD + log.bytes > memory
        });
        self.update_memory();
    }

    /// Evicts the oldest events until at least `memory` bytes are freed or no event is left.
    pub(crate) fn evict(&mut self, memory: usize, drops: &mut DeferredDrops) {
        self.evict_up_to(u64::MAX, memory, drops);
    }

    /// Evicts the oldest events up to `newest` until at least `memory` bytes are freed.
    pub(crate) fn evict_up_to(&mut self, newest: u64, memory: usize, drops: &mut DeferredDrops) {
        let target = self.memory().saturating_sub(memory);
        self.evict_while(newest, drops, |log| log.memory() > target);
        self.update_memory();
    }

    /// Returns whether the memory of the events and of one more, with `len` bytes on the wire, is
    /// within `limit`.
    pub(crate) fn has_room(&self, len: usize, limit: usize) -> bool {
        (self.entries.len() + 1) * ENTRY_OVERHEAD + self.bytes + len <= limit
    }

    /// Evicts the oldest events up to the sequence number `up_to` until there is room for an event
    /// with `len` bytes on the wire. Returns whether there is.
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

    /// Evicts the kept frames.
    pub(crate) fn evict_frames(&mut self, drops: &mut DeferredDrops) {
        if let Some(frames) = &mut self.frames {
            frames.evict(drops);
            self.update_memory();
        }
    }

    /// Evicts all events, and treats the events up to `sequence` as evicted.
    pub(crate) fn skip_to(&mut self, sequence: u64, drops: &mut DeferredDrops) {
        self.evict(usize::MAX, drops);
        self.evicted = Evicted { up_to: sequence, is_exact: true };
    }

    /// Frees the memory of the list that the kept events do not need.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Evicts the oldest events up to the sequence number `up_to`, while this is necessary.
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
}
