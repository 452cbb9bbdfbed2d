//! Waking very many tasks without holding the thread.

use std::task::{Context, Poll, Waker};
use std::{future::Future, pin::Pin};

use tokio::runtime::Handle;

use crate::callback::without_panic;

/// The number of tasks that are woken in one turn. This takes some milliseconds, and the
/// turns of the tasks themselves a few tenths of a second.
///
/// In each turn, a connection over HTTP/2 writes the frames of its streams that were woken, so
/// smaller turns cost more system calls.
pub(crate) const BATCH: usize = 125_000;

/// Takes all items, which wakes tasks: the first [`BATCH`] at once, and the others in later turns
/// of the current runtime, or of `runtime` if there is no current one. Without a runtime, or when
/// it ends, the others are woken at once.
pub(crate) fn in_batches<I>(mut items: I, runtime: Option<&Handle>)
where
    I: Iterator<Item = ()> + Send + Unpin + 'static,
{
    if items.by_ref().take(BATCH).count() < BATCH {
        return;
    }
    let rest = LaterTurns(items);
    // The rest is dropped, and its tasks are woken, if there is no runtime or if it has ended.
    if let Some(runtime) = Handle::try_current().ok().as_ref().or(runtime) {
        drop(runtime.spawn(rest));
    }
}

/// The items of later turns.
struct LaterTurns<I: Iterator>(I);

impl<I> Future for LaterTurns<I>
where
    I: Iterator<Item = ()> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.by_ref().take(BATCH).count() < BATCH {
            return Poll::Ready(());
        }
        // The tasks that were woken have their turns first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: Iterator> Drop for LaterTurns<I> {
    fn drop(&mut self) {
        self.0.by_ref().for_each(drop);
    }
}

/// Wakes a task without panicking. It runs code of a runtime, so no lock may be held.
pub(crate) fn wake(waker: Waker) {
    // A panic must not stop the loop, because the remaining wakers are no longer listed anywhere.
    without_panic(|| waker.wake());
}

/// Drops a waker without panicking. This can run any code of a runtime, so no lock may be held.
pub(crate) fn drop_waker(waker: Option<Waker>) {
    without_panic(|| drop(waker));
}
