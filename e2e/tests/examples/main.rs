//! Each example as its users run it: a process, and the exchange that shows what the example is for.
//! The crate's own tests guard its promises, and `../browser` tests the pages.

#[cfg(unix)]
mod cluster;
mod gateway;
#[cfg(unix)]
mod graceful;
mod hosts;
mod hubs;
#[cfg(unix)]
mod metrics;
mod notifications;
mod pages;
mod process;
mod proxy;
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

use std::{net::SocketAddr, process::Command};

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use support::start;
#[cfg(unix)]
use support::{PATIENCE, find, until_async};
use {
    process::{Example, address_of, open, post, program},
    support::{EventReader, Protocol, client, soon},
};
