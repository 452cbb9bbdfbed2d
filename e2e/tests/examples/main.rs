//! The examples as their users run them: over sockets, with clients of all kinds.

use std::{future::Future, net::SocketAddr};

use tokio::net::TcpListener;

#[path = "../../../tests/support/mod.rs"]
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
