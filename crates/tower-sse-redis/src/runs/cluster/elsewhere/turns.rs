use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::runs::store::PAGE_BYTES;

/// The expected size of the pages that are loaded at the same time. On a slow link, all later
/// replies wait for them.
const MAX_BYTES: usize = 16 * PAGE_BYTES;
/// The least that a page counts for, so that at most 128 are loaded at the same time.
const MIN_PAGE: usize = 8 * 1024;

/// The turns of loads: each load holds one while it loads a page.
///
/// The size of a page is unknown before it arrives. It is expected to be as large as the largest of
/// those that arrived lately: clients of many short answers would wait if each counted as a full page.
pub(super) struct Turns {
    /// Held by the load that waits for the next turn, so that the others ask for what is expected
    /// when it is up to them.
    next: Mutex<()>,
    free: Semaphore,
    expected: AtomicUsize,
}

impl Turns {
    /// Waits for a turn to load a page. `last` is the size of the run's page before it. Turns are
    /// taken in order.
    pub(super) async fn take(&self, last: usize) -> Option<SemaphorePermit<'_>> {
        let _next = self.next.lock().await;
        let expected = last.max(self.expected.load(Relaxed)).min(PAGE_BYTES);
        // At most eight, and nobody closes the semaphore.
        self.free.acquire_many(expected.div_ceil(MIN_PAGE).max(1) as u32).await.ok()
    }

    /// Notes the size of a page that has arrived. An empty one says nothing about the others.
    pub(super) fn loaded(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let next = |expected: usize| Some((expected - expected / 8).max(bytes.min(PAGE_BYTES)));
        _ = self.expected.fetch_update(Relaxed, Relaxed, next);
    }
}

impl Default for Turns {
    fn default() -> Self {
        let (next, free) = (Mutex::default(), Semaphore::new(MAX_BYTES / MIN_PAGE));
        Self { next, free, expected: AtomicUsize::new(PAGE_BYTES) }
    }
}
