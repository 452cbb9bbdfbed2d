//! The examples with a Redis: the chat and the runs on several processes behind nginx, with a page
//! in Chromium, and the metrics of a connected hub.
#![cfg(unix)]

mod chat;
mod metrics;
mod redis;
mod runs;
mod script;

// The browsers of `../browser`.
#[path = "../browser/browser.rs"]
mod browser;
#[path = "../browser/chromium.rs"]
#[allow(dead_code)]
mod chromium;
#[path = "../browser/tools.rs"]
#[allow(dead_code)]
mod tools;

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::support::PATIENCE;

use {
    chromium::Chromium,
    redis::RedisServer,
    script::Script,
    support::{EventReader, client, serve_axum},
    tools::{Tools, find},
};

/// Waits until the condition holds, and panics if it does not in time.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
