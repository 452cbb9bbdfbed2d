//! The examples as their users run them: over sockets, with clients of all kinds.
#![cfg(all(feature = "axum", feature = "json", feature = "redis"))]

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, time::timeout};

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod existing_axum;
#[cfg(unix)]
mod graceful;
mod hyper_raw;
mod llm_tokens;
mod metrics;
mod notifications;
mod ports;
mod proxy;
mod tonic_web;

/// Starts a server on a port of its own until the test ends.
async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> SocketAddr
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

/// Awaits `future` with a timeout.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("in time")
}
