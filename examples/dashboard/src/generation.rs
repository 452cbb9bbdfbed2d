use std::{io, net::SocketAddr};

use axum::{Router, response::IntoResponse, routing::get};
use futures_util::{StreamExt, stream};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_sse::{Drain, Event, SseLayer, stats::Stats};

/// One generation of a deployed server, with its own port, layer and token. A token can be
/// cancelled only once.
pub(super) struct Generation {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<io::Result<()>>,
}

impl Generation {
    pub(super) async fn start(drain: Drain, stats: &Stats) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).drain(drain).stats(stats);
        let app = Router::new().route("/events", get(events)).layer(layer);
        // The server and the layer share the token: the server waits for its streams, and the layer
        // ends them.
        let server =
            axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        Ok(Self { address, shutdown, served: tokio::spawn(server.into_future()) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts the server down, and waits until the last stream has ended.
    pub(super) async fn shut_down(mut self) -> io::Result<()> {
        self.shutdown.cancel();
        (&mut self.served).await.map_err(io::Error::other)?
    }
}

impl Drop for Generation {
    /// Stops the server of an aborted drill.
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn events() -> impl IntoResponse {
    let hello = stream::once(async { Event::new().event("hello").data("nothing happens here") });
    tower_sse::response(hello.chain(stream::pending()))
}
