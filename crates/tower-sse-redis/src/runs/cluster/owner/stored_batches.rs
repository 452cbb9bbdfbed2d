use std::collections::VecDeque;

/// The batches of a run in the store, according to the replies that its owner has received.
#[derive(Default)]
pub(super) struct StoredBatches {
    /// The last event and the size of each batch, the oldest first.
    batches: VecDeque<(u64, usize)>,
    /// The total size of the batches.
    bytes: usize,
}

impl StoredBatches {
    /// Returns the memory of the batches in a store that needs `overhead` bytes for each.
    pub(super) fn memory(&self, overhead: usize) -> usize {
        self.bytes + overhead * self.batches.len()
    }

    /// Adds a batch of `len` bytes that ends with the event `last`.
    pub(super) fn push(&mut self, last: u64, len: usize) {
        self.batches.push_back((last, len));
        self.bytes += len;
    }

    /// Removes the batches that end before the event `keep_from`.
    pub(super) fn trim(&mut self, keep_from: u64) {
        while let Some(&(last, len)) = self.batches.front()
            && last < keep_from
        {
            self.batches.pop_front();
            self.bytes -= len;
        }
    }

    /// Removes the batches that end after the event `newest`.
    pub(super) fn truncate(&mut self, newest: u64) {
        while let Some(&(last, len)) = self.batches.back()
            && last > newest
        {
            self.batches.pop_back();
            self.bytes -= len;
        }
    }

    /// Returns the sequence number of the oldest event to keep, if the batches have more than
    /// `limit` bytes. The newest two batches stay, because a stream without entries has no newest
    /// event.
    pub(super) fn trim_from(&self, limit: usize) -> Option<u64> {
        let mut excess = self.bytes.checked_sub(limit)?;
        let mut trimmed = None;
        for (last, len) in self.batches.iter().take(self.batches.len().saturating_sub(2)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*len);
            trimmed = Some(last + 1);
        }
        trimmed
    }
}
