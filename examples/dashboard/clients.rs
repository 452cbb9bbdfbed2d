use std::{net::SocketAddr, time::Duration};

use axum::http::{
    Request, StatusCode,
    header::{ACCEPT, CACHE_CONTROL},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tower_sse::Decoder;

/// Simulated browsers, each with an `EventSource`. They leave when this is dropped.
pub(super) struct Clients {
    http: Client<HttpConnector, Empty<Bytes>>,
    tasks: JoinSet<()>,
    server: watch::Sender<SocketAddr>,
    open: mpsc::Sender<()>,
    opened: mpsc::Receiver<()>,
}

impl Clients {
    /// None yet, of the server at this address.
    pub(super) fn of(server: SocketAddr) -> Self {
        let (open, opened) = mpsc::channel(16);
        Self {
            // Every stream has a connection of its own, as that of every browser does.
            http: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http(),
            tasks: JoinSet::new(),
            server: watch::Sender::new(server),
            open,
            opened,
        }
    }

    pub(super) fn add(&mut self) {
        let Self { http, tasks, server, open, .. } = self;
        tasks.spawn(live(http.clone(), server.subscribe(), open.clone()));
    }

    /// From now on they find another server, as when a load balancer has turned to it. What is open
    /// stays where it is.
    pub(super) fn turn_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Waits until one more stream is open, for the first time or again.
    pub(super) async fn opened(&mut self) {
        // It never closes, as a sender is kept here.
        self.opened.recv().await;
    }
}

/// The processing model of an `EventSource` in the HTML standard.
async fn live(
    http: Client<HttpConnector, Empty<Bytes>>,
    server: watch::Receiver<SocketAddr>,
    opened: mpsc::Sender<()>,
) {
    // So long do browsers wait that were told nothing.
    let mut reconnection_time = Duration::from_secs(3);
    loop {
        let server = *server.borrow();
        if let Ok(response) = http.request(request(server)).await {
            if response.status() != StatusCode::OK {
                // For ever.
                return;
            }
            if opened.send(()).await.is_err() {
                return;
            }
            let (mut body, mut decoder) = (response.into_body(), Decoder::new());
            // A clean end or a cut, that is the same here.
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(mut bytes) = frame.into_data() {
                    while let Ok(Some(_)) = decoder.decode(&mut bytes) {}
                }
            }
            reconnection_time = decoder.retry().unwrap_or(reconnection_time);
        }
        sleep(reconnection_time).await;
    }
}

fn request(server: SocketAddr) -> Request<Empty<Bytes>> {
    // By these headers the layer knows an `EventSource`.
    Request::get(format!("http://{server}/events"))
        .header(ACCEPT, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache")
        .body(Empty::new())
        .unwrap()
}
