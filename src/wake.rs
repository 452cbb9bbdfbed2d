//! Wakes tasks, a large number of them in batches, and drops wakers.

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::{future::poll_fn, pin::pin};

use slab::Slab;
use tokio::{runtime::Handle, task::yield_now};

use crate::{callback::without_panic, lock::lock};

/// The number of tasks that are woken at a time. Waking these tasks takes some milliseconds;
/// polling them takes a few tenths of a second. Smaller batches cost more system calls, because an
/// HTTP/2 connection writes the frames of all its woken streams together.
pub(crate) const BATCH: usize = 125_000;

/// The number of items that are taken out of [`Items`] at a time, under its lock.
const CHUNK: usize = 1_000;

/// The runtimes of waiting tasks. An entry `None` stands for tasks outside of any runtime.
// Boxed to be small, because each topic has such a list.
#[allow(clippy::box_collection)]
#[derive(Debug, Default)]
pub(crate) struct Runtimes(Option<Box<Vec<Option<Handle>>>>);

impl Runtimes {
    /// Notes the current runtime for the task at this index of a [list](wake_all). Tasks of the
    /// first batch need no note, because they are woken at once.
    #[inline]
    pub(crate) fn note_at(&mut self, index: usize) {
        if index >= BATCH {
            self.note();
        }
    }

    #[cold]
    pub(crate) fn note(&mut self) {
        let current = Handle::try_current().ok();
        let id = |runtime: &Option<Handle>| runtime.as_ref().map(Handle::id);
        let noted = self.0.get_or_insert_default();
        if noted.iter().all(|noted| id(noted) != id(&current)) {
            noted.push(current);
        }
    }
}

/// Wakes the tasks of a list [in batches](in_batches). `runtimes` has the
/// [noted](Runtimes::note_at) runtimes of the tasks after the first batch.
pub(crate) fn wake_all(wakers: Slab<Waker>, runtimes: Runtimes) {
    let wakers = wakers.into_iter().map(|(_, waker)| waker);
    match runtimes.0 {
        Some(_) => in_batches(wakers, wake, runtimes),
        None => wakers.for_each(wake),
    }
}

/// Calls `wake` with the first [`BATCH`] items at once. A task in each of the `runtimes` then calls
/// `wake` with the other items, in batches, so a blocked runtime delays only its own tasks. The
/// caller must hold no lock. All items are woken at once if `runtimes` has an entry for tasks
/// outside of any runtime, or if none of the noted runtimes still runs.
pub(crate) fn in_batches<I>(items: I, wake: fn(I::Item), runtimes: Runtimes)
where
    I: Iterator + Send + 'static,
{
    let items = Arc::new(Items { rest: Mutex::new(items), wake });
    if !items.wake_batch() {
        return;
    }
    for runtime in runtimes.0.into_iter().flat_map(|noted| *noted) {
        match runtime {
            Some(runtime) => drop(runtime.spawn(later_turns(Arc::clone(&items)))),
            None => while items.wake_batch() {},
        }
    }
}

async fn later_turns<I: Iterator>(items: Arc<Items<I>>) {
    while items.wake_batch() {
        // Lets the woken tasks run before the next batch is woken.
        yield_now().await;
    }
}

/// Items that several runtimes wake in batches. Dropping `Items` wakes the items that are left.
struct Items<I: Iterator> {
    rest: Mutex<I>,
    wake: fn(I::Item),
}

impl<I: Iterator> Items<I> {
    /// Wakes the tasks of the next [`BATCH`] items. Returns whether more items may be left.
    fn wake_batch(&self) -> bool {
        (0..BATCH / CHUNK).all(|_| {
            // The lock is released before foreign code runs.
            let chunk: Vec<_> = lock(&self.rest).by_ref().take(CHUNK).collect();
            let is_full = chunk.len() == CHUNK;
            chunk.into_iter().for_each(self.wake);
            is_full
        })
    }
}

impl<I: Iterator> Drop for Items<I> {
    fn drop(&mut self) {
        while self.wake_batch() {}
    }
}

/// Wakes a task without panicking. Waking can run any code of a runtime, so no lock may be held.
pub(crate) fn wake(waker: Waker) {
    // A panic must not stop the caller's loop: the remaining wakers are no longer listed anywhere.
    without_panic(|| waker.wake());
}

/// Runs a future with a waker that doesn't panic. A future of tokio's puts its waker in a list, and
/// a panic would leave the tasks behind it asleep.
pub async fn catching_wakes<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(Catching(Some(cx.waker().clone()))));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

struct Catching(Option<Waker>);

impl Wake for Catching {
    fn wake(self: Arc<Self>) {
        without_panic(|| self.0.as_ref().map(Waker::wake_by_ref));
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        drop_waker(self.0.take());
    }
}

/// Drops a waker without panicking. The drop can run any code of a runtime, so no lock may be held.
pub(crate) fn drop_waker(waker: Option<Waker>) {
    without_panic(|| drop(waker));
}
