//! The examples on several processes, with a Redis: the chat behind nginx, with a page in Chromium,
//! and the figures of a hub that is connected.
#![cfg(all(feature = "axum", feature = "json", feature = "redis", unix))]

mod chat;
mod metrics;
mod redis;
mod script;

// The browsers of `tests/browser`.
#[path = "../browser/browser.rs"]
mod browser;
#[path = "../browser/chromium.rs"]
#[allow(dead_code)]
mod chromium;
#[path = "../browser/tools.rs"]
#[allow(dead_code)]
mod tools;

#[path = "../support/mod.rs"]
mod support;

use tokio::time::{Duration, Instant, sleep};

use self::chromium::PATIENCE;

/// Waits until the condition holds, and panics if it does not in time.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
