//! The parts of the workspace's rig that the tests of runs use.

#![allow(dead_code, unreachable_pub)]

#[path = "../../../../../tests/support/patience.rs"]
mod patience;
#[path = "../../../../../tests/support/port.rs"]
mod port;
#[path = "../../../../../tests/support/tool.rs"]
mod tool;

use std::net::SocketAddr;

use tokio::net::TcpListener;

pub(crate) use self::patience::{PATIENCE, until_async};
pub(crate) use self::port::free_port;
pub(crate) use self::tool::{Directory, find};

/// Returns a listener on a port of its own, and its address.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
