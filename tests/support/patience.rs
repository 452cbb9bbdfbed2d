use std::{future::Future, panic::Location, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// Longer than anything a test awaits, even on a busy machine, so that a test that hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Awaits `future`, and panics with the caller's line if it is not ready in time.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let output = timeout(PATIENCE, future).await;
        output.unwrap_or_else(|_| panic!("not ready within {PATIENCE:?}, awaited at {caller}"))
    }
}

/// Waits until the condition holds, and panics with the caller's line if it does not in time.
///
/// It checks the condition every 2 milliseconds, because nothing wakes it when the condition
/// changes.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    until_async(async move || condition())
}

/// As [`until`], for a condition that is awaited.
#[track_caller]
pub fn until_async(mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "not true within {PATIENCE:?}, awaited at {caller}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}
