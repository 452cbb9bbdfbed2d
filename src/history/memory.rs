// These are the standard library's atomics even under loom, whose models check no total.
use std::{sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;

/// The total memory of several logs, in bytes.
#[derive(Debug, Default)]
pub(crate) struct MemoryCounter(AtomicUsize);

impl MemoryCounter {
    pub(crate) fn total(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// A part of the total, such as the memory of one log. Dropping the share subtracts it from the
/// total.
#[derive(Debug, Default)]
pub(crate) struct MemoryShare {
    /// `None` if the memory counts towards no total.
    pub(super) counter: Option<Arc<MemoryCounter>>,
    bytes: usize,
}

impl MemoryShare {
    pub(crate) const fn new(counter: Arc<MemoryCounter>) -> Self {
        Self { counter: Some(counter), bytes: 0 }
    }

    pub(super) fn leave_total(&mut self) {
        *self = Self { counter: None, bytes: self.bytes };
    }

    pub(super) fn room(&self, limit: usize) -> usize {
        limit.saturating_sub(self.counter.as_ref().map_or(self.bytes, |counter| counter.total()))
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        if let Some(MemoryCounter(total)) = self.counter.as_deref() {
            if bytes > self.bytes {
                total.fetch_add(bytes - self.bytes, Relaxed);
            } else if bytes < self.bytes {
                total.fetch_sub(self.bytes - bytes, Relaxed);
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MemoryCounter, MemoryShare};

    #[test]
    fn total_is_the_sum_of_shares_and_shrinks_when_one_is_dropped() {
        let counter = Arc::new(MemoryCounter::default());
        let mut first = MemoryShare::new(Arc::clone(&counter));
        let mut second = MemoryShare::new(Arc::clone(&counter));
        first.set(100);
        second.set(10);
        first.set(40);
        assert_eq!((counter.total(), first.room(60), first.room(40)), (50, 10, 0));
        first.set(70);
        assert_eq!((counter.total(), second.room(60)), (80, 0));
        drop(first);
        assert_eq!(counter.total(), 10);
        second.leave_total();
        assert_eq!((counter.total(), second.bytes(), second.room(60)), (0, 10, 50));
        second.set(30);
        drop(second);
        assert_eq!(counter.total(), 0);
    }
}

/// Evicted bytes, which are dropped after all locks are released.
#[derive(Debug, Default)]
pub(crate) struct DeferredDrops {
    /// Separate from `rest`: a topic at its limit evicts one event per publish, which should not
    /// allocate.
    first: Bytes,
    rest: Vec<Bytes>,
}

impl DeferredDrops {
    pub(super) fn add(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
        } else {
            self.rest.push(bytes);
        }
    }
}
