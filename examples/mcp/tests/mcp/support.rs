//! The part of the rig of other tests that these need.

#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, time::timeout};

pub(crate) use self::tool::{Directory, find};

/// Longer than anything a test awaits, so that a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

/// Returns a listener on a port of its own, and its address.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
