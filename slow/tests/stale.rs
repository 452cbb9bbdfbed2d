//! Measures how many old prices a client receives after it was stalled. Run it with:
//!
//! cargo test --manifest-path slow/Cargo.toml --target-dir target/slow --test stale -- --nocapture

#![cfg(target_os = "linux")]

use std::{fs, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use futures_util::TryStreamExt;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::interval;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::io::StreamReader;
use tower_sse::{LastEventId, Retention, SseLayer, hub::Hub};

#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../examples/ticker/main.rs"]
#[allow(dead_code)]
mod ticker;

use support::{Directory, Gate, Gated, openssl, soon, start};

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    /// HTTP/1 over TLS. If set, the limit applies to the bytes that rustls buffers.
    Tls(Option<usize>),
    Http2,
}

type SetOptions = fn(&TcpStream) -> io::Result<()>;

/// A client that is stalled while all prices change again and again.
#[derive(Clone, Copy)]
struct Stall {
    path: &'static str,
    protocol: Protocol,
    set_options: SetOptions,
    /// The size of the client's receive buffer, which the server can't set.
    receive_buffer: Option<u32>,
    /// How many times the prices change, and the time between two changes.
    changes: (usize, Duration),
}

/// Returns two routes. `/newest` uses the hub's own response, `/any` answers with the subscription
/// as with any stream.
fn app(hub: Hub) -> Router {
    let subscribe = |hub: &Hub, last: Option<LastEventId>| {
        let window = Duration::from_millis(5);
        hub.subscribe(ticker::symbols()).flush_window(window).resume(last)
    };
    let newest = async move |State(hub): State<Hub>, last: Option<LastEventId>| {
        subscribe(&hub, last).response().into_response()
    };
    let any = async move |State(hub): State<Hub>, last: Option<LastEventId>| {
        tower_sse::response(subscribe(&hub, last))
    };
    Router::new()
        .route("/newest", get(newest))
        .route("/any", get(any))
        .layer(SseLayer::new())
        .with_state(hub)
}

struct Certificate {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Certificate {
    fn new() -> Self {
        let directory = Directory::new("stale");
        openssl::site(directory.path());
        let file = |name| fs::read(directory.path().join(name)).unwrap();
        let certificate = CertificateDer::from_pem_slice(&file("site.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&file("site.key")).unwrap();
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let server = rustls::ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate], key).unwrap();
        let client = rustls::ClientConfig::builder().with_root_certificates(roots);
        Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client.with_no_client_auth()).into(),
        }
    }
}

/// The bytes of a response that a client reads.
type Reading = Box<dyn AsyncRead + Send + Unpin>;

/// Reads until `text` has come, and returns everything before it.
async fn read_up_to(reading: &mut Reading, text: &str) -> String {
    let mut received = Vec::new();
    loop {
        soon(reading.read_buf(&mut received)).await.unwrap();
        let mut places = received.windows(text.len());
        if let Some(place) = places.position(|bytes| bytes == text.as_bytes()) {
            received.truncate(place);
            return String::from_utf8_lossy(&received).into_owned();
        }
    }
}

impl Stall {
    async fn serve(self, hub: &Hub, certificate: &Certificate) -> SocketAddr {
        let service = TowerToHyperService::new(app(hub.clone()));
        let acceptor = certificate.acceptor.clone();
        start(async move |listener| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                (self.set_options)(&stream).unwrap();
                let (service, h1) = (service.clone(), http1::Builder::new());
                match self.protocol {
                    Protocol::Http1 => {
                        tokio::spawn(h1.serve_connection(TokioIo::new(stream), service))
                    }
                    Protocol::Tls(limit) => {
                        let mut stream = acceptor.accept(stream).await.unwrap();
                        if let Some(limit) = limit {
                            stream.get_mut().1.set_buffer_limit(Some(limit));
                        }
                        tokio::spawn(h1.serve_connection(TokioIo::new(stream), service))
                    }
                    Protocol::Http2 => {
                        let h2 = http2::Builder::new(TokioExecutor::new());
                        tokio::spawn(h2.serve_connection(TokioIo::new(stream), service))
                    }
                };
            }
        })
        .await
    }

    async fn connect(self, address: SocketAddr, certificate: &Certificate) -> (Reading, Arc<Gate>) {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size).unwrap();
        }
        let gate = Arc::new(Gate::default());
        let io = soon(socket.connect(address)).await.unwrap();
        let mut stream = Gated { io, gate: Arc::clone(&gate) };
        let head = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", self.path);
        let reading: Reading = match self.protocol {
            Protocol::Http1 => {
                stream.write_all(head.as_bytes()).await.unwrap();
                Box::new(stream)
            }
            Protocol::Tls(_) => {
                let name = ServerName::try_from("localhost").unwrap();
                let mut stream = certificate.connector.connect(name, stream).await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                Box::new(stream)
            }
            Protocol::Http2 => {
                let io = TokioIo::new(stream);
                let (mut sender, connection) =
                    client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                let request = Request::get(format!("http://a{}", self.path));
                let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
                let response = soon(sender.send_request(request)).await.unwrap();
                // Without a sender, hyper's client would close the connection.
                std::mem::forget(sender);
                let body = response.into_body().into_data_stream();
                Box::new(StreamReader::new(body.map_err(io::Error::other)))
            }
        };
        (reading, gate)
    }

    /// Returns what the client receives after its stall, up to the first price of the last change.
    async fn stale(self, certificate: &Certificate) -> String {
        let hub = Hub::builder().retention(Retention::latest()).build();
        let address = self.serve(&hub, certificate).await;
        let change = |price: usize| {
            ticker::symbols().for_each(|symbol| ticker::publish(&hub, &symbol, price as f64));
        };
        change(1);
        let (mut reading, gate) = self.connect(address, certificate).await;
        let last = ticker::symbols().last().unwrap();
        read_up_to(&mut reading, &format!("{last} 1.00\n")).await;
        gate.close();
        let (count, pause) = self.changes;
        let mut ticks = interval(pause);
        for price in 1..=count {
            ticks.tick().await;
            change(10_000 + price);
        }
        gate.open();
        read_up_to(&mut reading, &format!(" {}.00\n", 10_000 + count)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_bytes_by_socket_options() {
    let certificate = Certificate::new();
    let options: [(&str, SetOptions); 3] = [
        ("none", |stream| stream.set_nodelay(true)),
        ("TCP_NOTSENT_LOWAT of 16 KiB", ticker::set_options),
        ("SO_SNDBUF of 16 KiB", |stream| {
            stream.set_nodelay(true)?;
            socket2::SockRef::from(stream).set_send_buffer_size(16 * 1024)
        }),
    ];
    for (name, set_options) in options {
        for receive_buffer in [Some(16 * 1024), None] {
            let (path, protocol) = ("/newest", Protocol::Http1);
            let changes = (150, Duration::from_millis(6));
            let stall = Stall { path, protocol, set_options, receive_buffer, changes };
            let stale = stall.stale(&certificate).await;
            let (kib, prices) = (stale.len() / 1024, stale.matches("data: ").count());
            println!("{name}, receive buffer {receive_buffer:?}: {kib} KiB, {prices} prices");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_bytes_by_protocol() {
    let certificate = Certificate::new();
    for protocol in
        [Protocol::Http1, Protocol::Tls(None), Protocol::Tls(Some(4096)), Protocol::Http2]
    {
        let stale = async |path| {
            let set_options: SetOptions = ticker::set_options;
            let (receive_buffer, changes) = (Some(4 * 1024), (1_500, Duration::from_millis(20)));
            let stall = Stall { path, protocol, set_options, receive_buffer, changes };
            stall.stale(&certificate).await.len()
        };
        let (newest, any) = tokio::join!(stale("/newest"), stale("/any"));
        println!("{protocol:?}: {newest} bytes of old prices, {any} without the wait for frames");
    }
}
