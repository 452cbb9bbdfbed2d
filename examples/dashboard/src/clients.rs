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
use tower_sse::decode::Decoder;

/// Simulated browsers, each with an `EventSource`. Dropping this disconnects them.
pub(super) struct Clients {
    http: Client<HttpConnector, Empty<Bytes>>,
    tasks: JoinSet<()>,
    server: watch::Sender<SocketAddr>,
    open: mpsc::Sender<()>,
    opened: mpsc::Receiver<()>,
}

impl Clients {
    /// Returns an empty set of clients of the server at this address.
    pub(super) fn of(server: SocketAddr) -> Self {
        let (open, opened) = mpsc::channel(16);
        Self {
            // Every stream has a connection of its own, like that of a real browser.
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

    /// Points the clients to another server, like a load balancer after a deployment. Open streams
    /// stay where they are.
    pub(super) fn turn_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Waits until one more stream is open, for the first time or again.
    pub(super) async fn opened(&mut self) {
        // The channel never closes, because `self` keeps a sender.
        self.opened.recv().await;
    }
}

/// Runs the processing model of an `EventSource` in the HTML standard.
async fn live(
    http: Client<HttpConnector, Empty<Bytes>>,
    server: watch::Receiver<SocketAddr>,
    opened: mpsc::Sender<()>,
) {
    // Chromium's default when the server sends no reconnection time.
    let mut reconnection_time = Duration::from_secs(3);
    loop {
        let server = *server.borrow();
        if let Ok(response) = http.request(request(server)).await {
            if response.status() != StatusCode::OK {
                // An `EventSource` gives up for good.
                return;
            }
            if opened.send(()).await.is_err() {
                return;
            }
            let (mut body, mut decoder) = (response.into_body(), Decoder::new());
            // A clean end and a failure are the same to an `EventSource`.
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
    // The layer recognises an `EventSource` by these headers.
    Request::get(format!("http://{server}/events"))
        .header(ACCEPT, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache")
        .body(Empty::new())
        .unwrap()
}
