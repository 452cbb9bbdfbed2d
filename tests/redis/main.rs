//! The hub on Redis Streams, against real servers that each test starts for itself.

#![cfg(feature = "redis")]

mod acl;
mod client;
mod outcomes;
mod python;
mod server;
mod sharing;
#[cfg(feature = "axum")]
mod switch;

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds, and panics if it does not in time.
#[track_caller]
fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "not true in time, awaited at {caller}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}
