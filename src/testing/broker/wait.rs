use std::{fmt::Display, future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::timeout;

use super::Problem;

/// How long a scene waits for one event.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits a future for at most [`PATIENCE`].
pub(super) async fn soon<F: Future>(what: impl Display, future: F) -> Result<F::Output, Problem> {
    let late = |_| Problem::new(format_args!("{what} did not come within {PATIENCE:?}"));
    timeout(PATIENCE, future).await.map_err(late)
}

/// Awaits two futures at the same time.
pub(super) async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = other.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            outputs => {
                (first, second) = outputs;
                Poll::Pending
            }
        }
    })
    .await
}

/// Polls a future `polls` times, with the other tasks in between, and drops it. Returns its output if
/// it was ready by then.
pub(super) async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let poll = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
        if let Poll::Ready(output) = poll.await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
