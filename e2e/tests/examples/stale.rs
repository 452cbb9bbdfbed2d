//! The old prices that a client receives after it was stalled, over each protocol.

use std::{fs, net::SocketAddr, process::Command, sync::Arc, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::{
    client,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tower_sse::{LastEventId, SseLayer, hub::Hub};

use crate::{
    support::gate::{Gate, Gated},
    ticker::example,
    *,
};

/// How long the client reads nothing.
const STALL: Duration = Duration::from_secs(30);
/// The time between two changes of all prices.
const ROUND: Duration = Duration::from_millis(20);
/// The size of the client's receive buffer.
const RECEIVE_BUFFER: u32 = 4 * 1024;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    /// HTTP/1, with this limit of the bytes that rustls buffers.
    Tls(Option<usize>),
    Http2,
}

/// The routes: as the hub answers, and as any other stream.
fn app(hub: Hub) -> Router {
    let subscribe = |hub: &Hub, last: Option<LastEventId>| {
        let window = Duration::from_millis(5);
        hub.subscribe(example::symbols()).flush_window(window).resume(last)
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
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl Certificate {
    fn new() -> Self {
        let directory =
            std::env::temp_dir().join(format!("tower-sse-stale-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                         -keyout key -out certificate -subj /CN=localhost \
                         -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE";
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_ascii_whitespace()).current_dir(&directory);
        assert!(openssl.output().unwrap().status.success());
        let certificate = fs::read(directory.join("certificate")).unwrap();
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(&certificate).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&fs::read(directory.join("key")).unwrap()).unwrap();
        fs::remove_dir_all(directory).unwrap();
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let server = rustls::ServerConfig::builder().with_no_client_auth();
        Self {
            server: Arc::new(server.with_single_cert(vec![certificate], key).unwrap()),
            client: Arc::new(
                rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
            ),
        }
    }
}

async fn serve(hub: &Hub, protocol: Protocol, certificate: &Certificate) -> SocketAddr {
    let service = TowerToHyperService::new(app(hub.clone()));
    let acceptor = TlsAcceptor::from(Arc::clone(&certificate.server));
    start(async move |listener| {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            example::set_options(&stream).unwrap();
            let (service, acceptor) = (service.clone(), acceptor.clone());
            tokio::spawn(async move {
                match protocol {
                    Protocol::Http1 => {
                        _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                    Protocol::Tls(limit) => {
                        let mut stream = acceptor.accept(stream).await.unwrap();
                        if let Some(limit) = limit {
                            stream.get_mut().1.set_buffer_limit(Some(limit));
                        }
                        _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                    Protocol::Http2 => {
                        _ = http2::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                }
            });
        }
    })
    .await
}

/// What a client reads of a response, in pieces.
enum Reading {
    Text(Box<dyn AsyncRead + Send + Unpin>),
    Body(hyper::body::Incoming),
}

impl Reading {
    async fn next(&mut self) -> Vec<u8> {
        let mut piece = Vec::new();
        match self {
            Self::Text(stream) => _ = stream.read_buf(&mut piece).await.unwrap(),
            Self::Body(body) => {
                piece.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
        }
        piece
    }
}

async fn connect(
    address: SocketAddr,
    path: &str,
    protocol: Protocol,
    certificate: &Certificate,
) -> (Reading, Arc<Gate>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    let gate = Arc::new(Gate::default());
    let stream = soon(socket.connect(address)).await.unwrap();
    let stream = Gated { io: stream, gate: Arc::clone(&gate) };
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let reading = match protocol {
        Protocol::Http1 => {
            let mut stream = stream;
            stream.write_all(head.as_bytes()).await.unwrap();
            Reading::Text(Box::new(stream))
        }
        Protocol::Tls(_) => {
            let connector = TlsConnector::from(Arc::clone(&certificate.client));
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            Reading::Text(Box::new(stream))
        }
        Protocol::Http2 => {
            let io = TokioIo::new(stream);
            let (mut sender, connection) =
                client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let request =
                Request::get(format!("http://a{path}")).body(Empty::<bytes::Bytes>::new());
            let response = soon(sender.send_request(request.unwrap())).await.unwrap();
            // The connection ends with its last sender.
            std::mem::forget(sender);
            Reading::Body(response.into_body())
        }
    };
    (reading, gate)
}

fn publish_round(hub: &Hub, price: usize) {
    for symbol in example::symbols() {
        example::publish(hub, &symbol, price as f64);
    }
}

/// Returns the number of bytes that a client receives after its stall before all prices are new.
async fn stale(path: &str, protocol: Protocol, certificate: &Certificate) -> usize {
    let hub = Hub::builder().retain_latest().build();
    let address = serve(&hub, protocol, certificate).await;
    publish_round(&hub, 1);
    let (mut reading, gate) = connect(address, path, protocol, certificate).await;
    let mut first = 0;
    while first < 10_000 {
        first += soon(reading.next()).await.len();
    }
    gate.close();
    let until = Instant::now() + STALL;
    let mut price = 10_000;
    while Instant::now() < until {
        price += 1;
        publish_round(&hub, price);
        sleep(ROUND).await;
    }
    gate.open();
    let newest = format!(" {price}.00\n");
    let mut received = String::new();
    while !received.contains(&newest) {
        received.push_str(&String::from_utf8_lossy(&soon(reading.next()).await));
    }
    received.find(&newest).unwrap()
}

/// `cargo test --package tower-sse-e2e --test examples -- --ignored --nocapture stale_bytes_of_protocols`
#[cfg(target_os = "linux")]
#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_bytes_of_protocols() {
    let certificate = Certificate::new();
    for protocol in
        [Protocol::Http1, Protocol::Tls(None), Protocol::Tls(Some(4096)), Protocol::Http2]
    {
        let (newest, any) = tokio::join!(
            stale("/newest", protocol, &certificate),
            stale("/any", protocol, &certificate)
        );
        println!("{protocol:?}: {newest} bytes of old prices, {any} without the wait for frames");
    }
}
