//! Runs with real clients: Chromium and packages from npm and PyPI. A proxy cuts their connections.
//! The server shuts down or is killed. An nginx times out before the first word. A gateway changes
//! the answer.
//!
//! `slow/tests/clients` has the clients that only `.ci/slow` installs. Tests that they share with
//! other clients are here and ignored by default.

#![cfg(unix)]

#[path = "../../../tests/support/browser.rs"]
mod browser;
#[path = "../../../tests/support/chromium.rs"]
mod chromium;
mod cuts;
mod early_head;
mod gateways;
mod page;
mod rig;
mod server;
mod shutdown;
#[path = "../../../tests/support/sigterm.rs"]
mod sigterm;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;

use tokio::runtime::Runtime;

use browser::Tools;
use chromium::Chromium;
use page::Page;
use rig::*;
