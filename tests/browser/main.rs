//! What a browser sees: headless Chromium, straight from the server and through nginx with its default
//! proxy settings.
#![cfg(all(feature = "axum", feature = "json"))]

mod chromium;
mod control;
mod dashboard;
mod nginx;
mod screenshots;
mod steps;
mod tools;

#[path = "../../examples/dashboard/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../support/mod.rs"]
mod support;
