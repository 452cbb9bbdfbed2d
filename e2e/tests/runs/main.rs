//! Runs with real clients: Chromium, and packages of npm and PyPI, through a proxy that cuts their
//! connections, and while the server shuts down or is killed.
//!
//! The tests that `.ci/slow runs` starts are ignored by default.

#![cfg(unix)]

mod answers;
mod app;
mod chats;
mod client;
mod cuts;
mod deployment;
mod filters;
mod graphs;
mod limits;
mod line_ends;
mod page;
mod proxy;
mod server;
mod shutdown;
mod sigterm;
mod upstream;

#[path = "../browser/browser.rs"]
mod browser;
#[path = "../browser/chromium.rs"]
#[allow(dead_code)]
mod chromium;
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod redis;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../browser/tools.rs"]
#[allow(dead_code)]
mod tools;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_sse::SseLayer;

use {
    answers::Pace,
    app::Service,
    chromium::Chromium,
    client::{Client, Packages},
    deployment::Deployment,
    page::Page,
    proxy::{Cut, Proxy},
    support::{Process, find, listen, serve_axum, skip, soon},
    tools::{Tools, find_node},
};
