//! Runs with real clients: Chromium, and packages of npm and PyPI, through a proxy that cuts their
//! connections, and while the server shuts down or is killed. And the same clients behind an nginx
//! that does not wait for the first word.
//!
//! `slow/tests/clients` has the clients that `.ci/slow` installs. Where they do the same as others,
//! they are here and ignored by default.

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
