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

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use answers::Pace;
use app::Service;
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chromium::Chromium;
use client::{Client, Packages};
use deployment::Deployment;
use futures_util::{StreamExt, stream};
use page::Page;
use proxy::{Cut, Proxy};
use serde_json::{Value, json};
use support::{Process, find, listen, serve_axum, skip, soon};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_util::sync::CancellationToken;
use tools::{Tools, find_node};
use tower_sse::{
    Event, Heartbeat, Retry, SseLayer,
    filter::{self, FilterLayer, Verdict},
    runs::Runs,
};
