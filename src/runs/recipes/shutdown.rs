//! Shutdowns in which answers complete, and what clients see of a restart.
//!
//! # Shutdown
//!
//! At a shutdown, the server stops listening, no further run starts, and running ones get a grace
//! period. [`Drain::after`](crate::Drain::after) in the responses of runs keeps their streams open
//! for a little longer, so that it is the run that ends them. Do not set it on the layer, where it
//! would also keep streams open that never end, such as those of a hub.
//!
//! ```no_run
//! use std::{io, time::Duration};
//!
//! use axum::{Router, response::IntoResponse};
//! use futures_util::{Stream, stream};
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::{Drain, Event, SseLayer, StreamOptions, runs::Runs};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//!
//! const GRACE: Duration = Duration::from_secs(20);
//! const LEEWAY: Duration = Duration::from_secs(5);
//!
//! # #[cfg(feature = "axum")]
//! async fn chat() -> impl IntoResponse {
//!     (StreamOptions::new().drain(Drain::after(GRACE + LEEWAY)), tower_sse::response(tokens()))
//! }
//!
//! async fn serve(listener: TcpListener, routes: Router, runs: Runs) -> io::Result<()> {
//!     let shutdown = CancellationToken::new();
//!     tokio::spawn(cancel_on_signal(shutdown.clone()));
//!     let layer = SseLayer::new().shutdown(shutdown.clone());
//!     let server = axum::serve(listener, routes.layer(layer))
//!         .with_graceful_shutdown(shutdown.clone().cancelled_owned());
//!     let drain = async {
//!         shutdown.cancelled().await;
//!         runs.drain(GRACE).await;
//!     };
//!     let too_late = async {
//!         shutdown.cancelled().await;
//!         tokio::time::sleep(GRACE + 2 * LEEWAY).await;
//!     };
//!     tokio::select! {
//!         (served, ()) = async { tokio::join!(server, drain) } => served,
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
//! Answers that take longer are [`Interrupted`](Outcome::Interrupted), and their clients' bodies
//! fail. The last sleep is the [deadline](crate::operating::shutdown#the-deadline) for clients that do
//! not read. [`RunsBuilder::on_end`] reports the events
//! and bytes of each run, including interrupted ones, for billing.
//!
//! # Kubernetes
//!
//! A pod gets `SIGTERM`, and `SIGKILL` after `terminationGracePeriodSeconds`, which is 30 by default.
//! New requests arrive for a few seconds after `SIGTERM`, until all proxies know that the pod ends.
//!
//! - Set `terminationGracePeriodSeconds` to the duration of the longest answer that must complete,
//!   plus 10 seconds. Pass that duration to [`Runs::drain`].
//! - Add a `preStop` hook that sleeps for 5 seconds. It counts into the period.
//! - With several processes and a store, the clients of a pod that ends reconnect to others, and
//!   answers of other pods are not disturbed. Runs that the pod owns complete within its grace
//!   period, or are [`Interrupted`](Outcome::Interrupted) at its end.
//! - A pod that is killed, such as for its memory, tells nobody. Clients are told once its lease has
//!   expired.
//!
//! # Restarts
//!
//! Without a store, runs are kept in memory, so a new process has none. A client that reconnects with
//! an id gets `404` for every method, and no answer is generated again. An error is better than the
//! halves of two different answers. The page can show the error and offer to ask again. With several
//! processes, [connect](Runs::connect) them to a store, or route all requests with the same key to
//! the same process.

// Names for the links above.
#[allow(unused_imports)]
use crate::runs::{Outcome, Runs, RunsBuilder};
