//! The function `serve` of the guide's page `serving`.

use std::{io, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// Serves until `shutdown` is cancelled and every stream has ended, at most until the deadline.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
    deadline: Duration,
) -> io::Result<()> {
    let listener = listener.tap_io(|io| _ = io.set_nodelay(true));
    let server = axum::serve(listener, app);
    tokio::select! {
        served = server.with_graceful_shutdown(shutdown.clone().cancelled_owned()) => served,
        () = async { shutdown.cancelled().await; sleep(deadline).await } => Ok(()),
    }
}
