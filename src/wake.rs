//! Wakes tasks and drops wakers without panicking.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::{future::poll_fn, pin::pin};

use crate::callback::without_panic;

/// Wakes a task without panicking. Waking can run any code of a runtime, so no lock may be held.
pub(crate) fn wake(waker: Waker) {
    // A panic must not stop the caller's loop: the remaining wakers are no longer listed anywhere.
    without_panic(|| waker.wake());
}

/// Runs a future with a waker that doesn't panic. A future of tokio's puts its waker in a list, and
/// a panic would leave the tasks behind it asleep.
pub async fn catching_wakes<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut last) = (pin!(future), None::<Arc<Catching>>);
    poll_fn(|cx| {
        let is_same = |it: &Arc<Catching>| it.0.as_ref().is_some_and(|it| it.will_wake(cx.waker()));
        let catching = last.take().filter(is_same);
        let catching = catching.unwrap_or_else(|| Arc::new(Catching(Some(cx.waker().clone()))));
        let waker = Waker::from(Arc::clone(last.insert(catching)));
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
