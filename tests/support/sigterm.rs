//! The documented shutdown of a service with runs.

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::support::Process;

/// Serves until a SIGTERM cancels `shutdown`. Then waits for `drain` and for open connections.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
    drain: impl Future<Output = ()>,
) {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    Process::announce(listener.local_addr().unwrap());
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let drain = async {
        terminated.recv().await;
        shutdown.cancel();
        drain.await;
    };
    tokio::join!(server, drain).0.unwrap();
}
