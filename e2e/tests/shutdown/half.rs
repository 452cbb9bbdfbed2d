//! Clients that have sent half a handshake or half a request, for which hyper's graceful shutdown
//! waits.

use std::{fs, net::SocketAddrV4};

use axum_server::Handle;
use hyper_util::rt::TokioTimer;

use crate::*;

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and the client's settings, without the acknowledgement of the server's settings.
const SETTINGS: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What clients have sent, and whether a graceful shutdown waits for the rest.
const SENT: [(&str, bool); 6] = [
    ("", false),
    ("PRI * HTTP/2.0\r\n", false),
    ("GET /eve", true),
    ("GET /events HTTP/1.1\r\nhost: localhost\r\n", true),
    (PREFACE, true),
    (SETTINGS, true),
];

/// Sends `bytes`, and waits until the server has accepted the connection and read them.
async fn send(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let client = stream.local_addr().unwrap();
    until(|| is_read(address, client)).await;
    stream
}

/// Returns whether the server has accepted a connection and has read all that arrived.
fn is_read(server: SocketAddr, client: SocketAddr) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = format!("{} {} ", end(server), end(client));
    let socket = sockets.lines().find(|socket| socket.contains(&ends));
    socket.is_some_and(|socket| {
        let fields: Vec<_> = socket.split_whitespace().collect();
        // The queues of both directions, and the inode, which a connection gets when it is
        // accepted.
        fields[4].ends_with(":00000000") && fields[9] != "0"
    })
}

/// Returns an address as `/proc/net/tcp` shows it.
fn end(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let (ip, port) = (SocketAddrV4::ip(&address), address.port());
    format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()))
}

fn events() -> Handler {
    handler(|parts| Source::at(parts.uri.path()).answer(None))
}

#[tokio::test]
async fn server_of_own_connections_ends_a_second_after_half_a_request() {
    join_all(SENT.map(async |(sent, _)| {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone());
        let server = Host::Hyper.start(layer, events(), &shutdown).await;
        let client = send(server.address, sent).await;
        shutdown.cancel();
        // The deadline is later than any test waits.
        server.finished().await;
        drop(client);
    }))
    .await;
}

#[tokio::test]
async fn only_deadline_ends_axum_and_tonic_at_half_a_request() {
    const DEADLINE: Duration = Duration::from_millis(300);
    let hosts = [Host::Axum, Host::Tonic];
    join_all(hosts.into_iter().flat_map(|host| SENT.map(|sent| (host, sent))).map(
        async |(host, (sent, is_half))| {
            let shutdown = CancellationToken::new();
            let layer = SseLayer::new().shutdown(shutdown.clone());
            if is_half {
                let (listener, address) = listen().await;
                let served = host.serve(listener, layer, events(), shutdown.clone(), DEADLINE);
                let served = tokio::spawn(served);
                let client = send(address, sent).await;
                let began = Instant::now();
                shutdown.cancel();
                soon(served).await.unwrap();
                assert!(began.elapsed() >= DEADLINE, "{host:?} {sent:?}");
                drop(client);
            } else {
                let server = host.start(layer, events(), &shutdown).await;
                let client = send(server.address, sent).await;
                shutdown.cancel();
                server.finished().await;
                drop(client);
            }
        },
    ))
    .await;
}

#[tokio::test]
async fn limits_of_documented_axum_server_end_half_a_request() {
    const LIMIT: Duration = Duration::from_millis(200);
    join_all(SENT.map(async |(sent, _)| {
        let shutdown = CancellationToken::new();
        let (listener, address) = listen().await;
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener.into_std().unwrap()).unwrap();
        let http = server.http_builder();
        http.http1().timer(TokioTimer::new()).header_read_timeout(LIMIT);
        http.http2().timer(TokioTimer::new()).keep_alive_interval(LIMIT).keep_alive_timeout(LIMIT);
        let app = Router::new().layer(SseLayer::new().shutdown(shutdown.clone()));
        let served = server.handle(handle.clone()).serve(app.into_make_service());
        let served = tokio::spawn(served);
        // Without a deadline.
        let client = send(address, sent).await;
        handle.graceful_shutdown(None);
        soon(served).await.unwrap().unwrap();
        drop(client);
    }))
    .await;
    let page = include_str!("../../../docs/guide/serving.md");
    for line in [
        "http.http1().timer(TokioTimer::new()).header_read_timeout(",
        "http.http2().timer(TokioTimer::new()).keep_alive_interval(",
    ] {
        assert!(page.contains(line), "{line}");
    }
}
