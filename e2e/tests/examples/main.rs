//! Each example as its users run it: a process, and the exchange that shows what the example is for.
//! The crate's own tests guard its promises, and `../browser` tests the pages.

#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod hosts;
mod hubs;
#[cfg(unix)]
mod metrics;
mod notifications;
mod pages;
mod process;
mod runs;
#[cfg(target_os = "linux")]
mod stale;
mod tickets;

#[cfg(unix)]
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use axum::Router;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use process::{Example, address_of, open, post, program};
use serde_json::{Value, json};
use support::{EventReader, Protocol, client, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_sse::{SseLayer, hub::Hub};

#[cfg(target_os = "linux")]
use support::start;
#[cfg(unix)]
use support::{PATIENCE, find, until_async};
