//! Pages in three engines, and pictures of pages.

#![cfg(unix)]

#[path = "../../../tests/support/browser.rs"]
mod browser;
#[path = "../../../tests/support/chromium.rs"]
mod chromium;
#[path = "../../../tests/support/engine.rs"]
mod engine;
#[path = "../../../examples/dashboard/src/main.rs"]
#[allow(dead_code)]
mod example;
mod interrupted;
#[path = "../../../tests/support/relay.rs"]
mod relay;
mod screenshots;
#[path = "../../../tests/support/mod.rs"]
mod support;
