//! The servers of one client in one situation, one after another on the same port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpListener, task::JoinHandle, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};
use tower_sse::{ClientKind, LastEventId, SseLayer, hub::Hub};

use crate::driver::{Seen, Shared};

/// How long a client may take to start.
const START: Duration = Duration::from_secs(180);
/// How long a client that comes back may be away.
pub(crate) const BACK: Duration = Duration::from_secs(40);
/// How long an event may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A port, and what the servers on it have seen of the client.
pub(crate) struct Stage {
    pub(crate) shared: Shared,
    client: &'static str,
    address: SocketAddr,
    /// Keeps the port while no server listens.
    _reservation: Socket,
}

/// Sets what the client's row tells the server to set.
pub(crate) fn set(client: &str, layer: SseLayer) -> SseLayer {
    match client {
        "event-source-polyfill, set" => layer.last_event_id_query("lastEventId"),
        "httpx-sse, connect set" => layer.client_kind(ClientKind::Library),
        "micronaut, set" => layer.client_kind(ClientKind::Other),
        _ => layer,
    }
}

fn reusable(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl Stage {
    pub(crate) fn new(client: &'static str) -> Self {
        let reservation = reusable(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reservation.local_addr().unwrap().as_socket().unwrap();
        Self { shared: Shared::default(), client, address, _reservation: reservation }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub(crate) fn listen(&self) -> TcpListener {
        let socket = reusable(self.address);
        socket.listen(1024).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpListener::from_std(socket.into()).unwrap()
    }

    pub(crate) fn serve(&self, layer: SseLayer) -> Server {
        let server = self.prepare(layer);
        self.open(server)
    }

    /// Creates a server that does not listen yet.
    pub(crate) fn prepare(&self, layer: SseLayer) -> Server {
        let (hub, shutdown) = (Hub::new(), CancellationToken::new());
        let (opened, closed, requests) =
            (self.shared.clone(), self.shared.clone(), self.shared.clone());
        let while_away = Arc::new(AtomicUsize::new(0));
        let publisher = Publisher { hub: hub.clone(), shared: self.shared.clone() };
        let (missed, published) = (publisher.clone(), while_away.clone());
        let layer = layer
            .shutdown(shutdown.clone())
            .on_open(move || opened.change(|seen| seen.opened += 1))
            // The client learns of the end only after this callback, so it misses what is published
            // here.
            .on_close(move |_| {
                missed.publish(published.load(Ordering::Relaxed));
                closed.change(|seen| seen.closed.push(Instant::now()));
            });
        let layer = set(self.client, layer);
        let subscribed = hub.clone();
        let events = async move |last: Option<LastEventId>| {
            subscribed.subscribe_to(TOPIC).resume(last).response()
        };
        let streams = Router::new().route("/events", get(events)).layer(layer);
        let note = move |request: Request, next: Next| {
            requests.change(|seen| {
                seen.requests.push(Instant::now());
                seen.head.get_or_insert_with(|| request.headers().clone());
            });
            next.run(request)
        };
        let router = streams.clone().layer(from_fn(note));
        let closing = CancellationToken::new();
        let router = Arc::new(Mutex::new(router));
        Server { publisher, while_away, streams, router, shutdown, closing, task: None }
    }

    pub(crate) fn open(&self, mut server: Server) -> Server {
        let listener = self.listen();
        server.task =
            Some(tokio::spawn(accept(listener, server.router.clone(), server.closing.clone())));
        server
    }

    /// Waits for the first request and returns whether it came.
    pub(crate) async fn came(&self) -> bool {
        self.shared.until(START, |seen| !seen.requests.is_empty() || seen.over.is_some()).await
            && !self.shared.lock().requests.is_empty()
    }

    /// Waits for `count` more requests than `before` and returns whether the client sent them.
    pub(crate) async fn returned(&self, before: usize, count: usize) -> bool {
        for number in before + 1..=before + count {
            let met = |seen: &Seen| seen.requests.len() >= number || seen.over.is_some();
            self.shared.until(BACK, met).await;
            if self.shared.lock().requests.len() < number {
                return false;
            }
        }
        true
    }

    /// Publishes events until the client receives one or gives up, for up to [`BACK`]. Returns
    /// whether the client has received one.
    pub(crate) async fn arrives(&self, server: &Server) -> bool {
        let end = Instant::now() + BACK;
        while Instant::now() < end && self.shared.lock().over.is_none() {
            let rest = end.saturating_duration_since(Instant::now());
            if !self.shared.until(rest, |seen| seen.is_open() || seen.over.is_some()).await {
                return false;
            }
            server.publish(1);
            let (last, closed) = {
                let seen = self.shared.lock();
                (seen.last(), seen.closed.len())
            };
            let settled = |seen: &Seen| seen.has(last) || seen.closed.len() > closed;
            self.shared.until(ARRIVAL, settled).await;
            if self.receives(last).await {
                return true;
            }
        }
        false
    }

    pub(crate) async fn receives(&self, number: usize) -> bool {
        self.shared.until(ARRIVAL, |seen| seen.has(number)).await
    }
}

pub(crate) const TOPIC: &str = "topic";

/// Publishes numbers, which continue from one server to the next.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) hub: Hub,
    shared: Shared,
}

impl Publisher {
    pub(crate) fn publish(&self, count: usize) {
        for _ in 0..count {
            let mut seen = self.shared.lock();
            let number = seen.last() + 1;
            seen.published = Some((number, Instant::now()));
            drop(seen);
            self.hub.publish_now(TOPIC, number.to_string()).expect("a topic that goes on");
        }
    }
}

pub(crate) struct Server {
    pub(crate) publisher: Publisher,
    /// How many events are published whenever a stream has ended.
    pub(crate) while_away: Arc<AtomicUsize>,
    /// The routes, without the log of requests.
    streams: Router,
    router: Arc<Mutex<Router>>,
    /// Makes the layer end its streams and refuse new ones.
    pub(crate) shutdown: CancellationToken,
    /// Stops listening.
    closing: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn publish(&self, count: usize) {
        self.publisher.publish(count);
    }

    /// Requests a stream within the process and returns the body if the layer did not refuse.
    pub(crate) async fn occupy(&self) -> Option<Body> {
        let request = Request::get("/events").body(Body::empty()).unwrap();
        let response = self.streams.clone().oneshot(request).await.unwrap();
        response.status().is_success().then(|| response.into_body())
    }

    /// Lets another server answer from now on, as a balancer does.
    pub(crate) fn forward_to(&self, next: &Self) {
        *self.router.lock().unwrap() = next.router.lock().unwrap().clone();
    }

    /// Stops as a program does at SIGTERM.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        self.closing.cancel();
        let task = self.task.as_mut().expect("an open server");
        if timeout(Duration::from_secs(8), task).await.is_err() {
            self.kill().await;
        }
    }

    /// Closes all sockets, as the kernel does for a process that is killed.
    pub(crate) async fn kill(self) {
        let task = self.task.expect("an open server");
        task.abort();
        let _ = task.await;
    }
}

async fn accept(listener: TcpListener, router: Arc<Mutex<Router>>, closing: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (router, closing) = (router.clone(), closing.clone());
        let service = TowerToHyperService::new(service_fn(move |request| {
            let router = router.lock().unwrap().clone();
            router.oneshot(request)
        }));
        connections.spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
