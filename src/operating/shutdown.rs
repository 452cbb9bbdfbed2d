//! Shutdown and deployments: how to stop a server with open streams without losing its clients.
//!
//! Without [`SseLayer::shutdown`], the graceful shutdown of axum, hyper and tonic waits for open
//! streams forever. With it, [`Drain`] sets how streams end, and new ones are [refused](Refusal).
//! For axum:
//!
//! ```no_run
//! use std::{io, time::Duration};
//!
//! use axum::Router;
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::SseLayer;
//!
//! async fn serve(listener: TcpListener, routes: Router) -> io::Result<()> {
//!     let shutdown = CancellationToken::new();
//!     tokio::spawn(cancel_on_signal(shutdown.clone()));
//!     let app = routes.layer(SseLayer::new().shutdown(shutdown.clone()));
//!     let server = axum::serve(listener, app)
//!         .with_graceful_shutdown(shutdown.clone().cancelled_owned());
//!     let too_late = async {
//!         shutdown.cancelled().await;
//!         tokio::time::sleep(Duration::from_secs(40)).await;
//!     };
//!     tokio::select! {
//!         served = server => served,
//!         () = too_late => Ok(()),
//!     }
//! }
//!
//! async fn cancel_on_signal(shutdown: CancellationToken) {
//!     #[cfg(unix)]
//!     let terminated = async {
//!         use tokio::signal::unix::{SignalKind, signal};
//!         match signal(SignalKind::terminate()) {
//!             Ok(mut terminate) => _ = terminate.recv().await,
//!             Err(_) => std::future::pending().await,
//!         }
//!     };
//!     #[cfg(not(unix))]
//!     let terminated = std::future::pending();
//!     tokio::select! {
//!         Ok(()) = tokio::signal::ctrl_c() => {}
//!         () = terminated => {}
//!     }
//!     println!("shutting down");
//!     shutdown.cancel();
//! }
//! ```
//!
//! # The deadline
//!
//! No body can end the stream of a client that does not read: hyper does not poll the body, and
//! cannot write the bytes that it already has. Nor does the layer end other bodies, such as gRPC
//! streams. Put a deadline on the graceful shutdown, and drop the connections when it passes.
//!
//! The deadline must be longer than the drain, which takes up to:
//!
//! - 30 seconds for [`Drain::per_client`], the default, or the window or grace period of another
//!   drain;
//! - 5 more for a source that is mid-event;
//! - 1 more for a body that fails.
//!
//! With the default drain that is 36 seconds, so the 40 above leave some room. If the process has
//! only 30, as on Kubernetes by default, give the answers to calls less time:
//! `Drain::per_client().grace(Duration::from_secs(15))`, with a deadline of 25 seconds.
//!
//! When connections are dropped, every stream still has its close report. The reason is
//! [`Disconnected`](CloseReason::Disconnected), or [`Drained`](CloseReason::Drained) if hyper had
//! taken the stream's last bytes.
//!
//! # Examples
//!
//! - **axum**: `graceful_axum`. The connections are tasks of the runtime, and are dropped with it.
//! - **hyper**: `graceful_hyper`, with a task for each connection, which is cut at the deadline. If a
//!   maximum age of connections is not needed, hyper-util's `GracefulShutdown` is enough: `watch` each
//!   connection, cancel the token, and await its `shutdown` up to the deadline.
//! - **tonic with tonic-web**: `graceful_tonic`, the same as with axum.
//!
//! # Deployments
//!
//! - **The orchestrator** must wait longer than the deadline before it kills the process.
//!   Kubernetes waits for 30 seconds by default (`terminationGracePeriodSeconds`).
//! - **The load balancer** must stop routing to the server before the token is cancelled. Otherwise
//!   clients reconnect to the server that is stopping.
//! - **Old and new servers should overlap.** When a connection is refused, undici's `EventSource`
//!   (up to version 6) gives up for good, as does a cross-origin `EventSource` in Firefox. Some
//!   server must therefore listen before the first client reconnects: within the drain's minimum
//!   reconnection time, 2 seconds by default.
//!
//! # Reconnection storms
//!
//! When a server stops, all its clients reconnect. By default, each waits a random time of 2 to 10
//! seconds.
//! These options spread them further:
//!
//! - [`Drain::retry`] sets the range from which each client's reconnection time is drawn. The
//!   default is 2 to 10 seconds, even if [`SseLayer::retry`] is shorter; choose a longer range for
//!   thousands of streams. Some `fetch` clients ignore it.
//! - [`Refusal::retry`] does the same for clients that are refused.
//! - [`Drain::spread_over`] ends the streams one by one over a window. The other clients are served
//!   meanwhile.
//! - [`SseLayer::max_age`] with jitter moves clients to new servers continuously. It also shows
//!   the cost of reconnections before a deployment does.
//!
//! # MCP servers
//!
//! rmcp's server answers `POST` requests with event streams. The layer classifies these requests as
//! [calls](super::clients#how-clients-reconnect). The example `mcp` is such a server.
//!
//! - **Shutdown.** Give the token to [`SseLayer::shutdown`] and not to rmcp. The layer lets calls
//!   in progress finish; rmcp drops them all.
//! - **`subscriptions/listen`** is a `POST` whose stream does not end. Put
//!   `StreamOptions::new().drain(Drain::at_once())` into its response. Otherwise it delays the
//!   shutdown by 30 seconds, like any other call in progress.
//! - **Maximum age.** Set no [`max_age`](SseLayer::max_age) on these routes. An answer that takes
//!   30 seconds longer than the age would be lost.
//! - **Version.** Use rmcp 1.4 or later. Before, its server does not check the `Host` header, so a
//!   web page can call the tools of a server on the visitor's own machine or network by DNS rebinding
//!   ([GHSA-89vp-x53w-74fx](https://github.com/modelcontextprotocol/rust-sdk/security/advisories/GHSA-89vp-x53w-74fx)).

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, Drain, Refusal, SseLayer};
