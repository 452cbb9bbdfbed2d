//! The examples with a Redis: the chat and the runs on several processes behind nginx, with a page
//! in Chromium, and the metrics of a connected hub.
#![cfg(unix)]

mod chat;
mod metrics;
mod runs;
mod script;

// The browsers of `../browser`.
#[path = "../browser/browser.rs"]
mod browser;
#[path = "../browser/chromium.rs"]
#[allow(dead_code)]
mod chromium;
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../browser/tools.rs"]
#[allow(dead_code)]
mod tools;

#[path = "../../../tests/support/mod.rs"]
mod support;

use {
    chromium::Chromium,
    script::Script,
    server::Server,
    support::{EventReader, PATIENCE, client, find, serve_axum, until, until_async},
    tools::Tools,
};
