//! The example `ticker`: the choice of symbols, and the prices that a stalled client receives.

use std::{io, net::SocketAddr, time::Duration};

use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::interval,
};
use tower_sse::{LastEventId, hub::Hub};

use crate::*;

#[path = "../../../examples/ticker/main.rs"]
#[allow(dead_code)]
pub(crate) mod example;

const WINDOW: Duration = Duration::from_millis(5);

fn market() -> (Hub, Vec<String>) {
    (Hub::builder().retain_latest().build(), example::symbols().collect())
}

fn publish_round(hub: &Hub, symbols: &[String], price: usize) {
    for symbol in symbols {
        example::publish(hub, symbol, price as f64);
    }
}

async fn watch(
    address: SocketAddr,
    symbols: &str,
    last: Option<&LastEventId>,
) -> EventReader<Incoming> {
    let path = format!("/prices?symbols={symbols}");
    let last = last.map(|last| ("last-event-id", last.as_str()));
    EventReader::new(client::get(address, &path, last.as_slice()).await)
}

#[tokio::test]
async fn client_receives_the_prices_of_its_symbols_at_once_and_then_the_newest() {
    let (hub, symbols) = market();
    assert_eq!((symbols.len(), &*symbols[0], &*symbols[499]), (500, "AAA", "ATF"));
    let address = serve_axum(example::app(hub.clone(), WINDOW)).await;
    publish_round(&hub, &symbols, 1);
    publish_round(&hub, &symbols, 2);

    let mut all = watch(address, &symbols.join(","), None).await;
    for symbol in &symbols {
        assert_eq!(all.next().await.unwrap().data, format!("{symbol} 2.00"));
    }
    let mut some = watch(address, "AAB,AAD,unknown", None).await;
    assert_eq!(some.next().await.unwrap().data, "AAB 2.00");
    let last = LastEventId::try_from(&*some.next().await.unwrap().last_event_id).unwrap();
    drop(some);
    publish_round(&hub, &symbols, 3);
    example::publish(&hub, "AAB", 4.0);
    let mut again = watch(address, "AAB,AAD", Some(&last)).await;
    assert_eq!(again.next().await.unwrap().data, "AAD 3.00");
    assert_eq!(again.next().await.unwrap().data, "AAB 4.00");

    assert!(!hub.topics().iter().any(|topic| **topic == *"unknown"));
    assert_eq!(client::get(address, "/prices?symbols=unknown", &[]).await.status(), 404);
}

/// What limits the buffers of a connection.
#[derive(Clone, Copy)]
struct Limits {
    set_options: fn(&TcpStream) -> io::Result<()>,
    /// The limit of hyper's buffer.
    max_buf_size: Option<usize>,
    /// The size of the client's receive buffer, which is not the server's to set.
    client: Option<u32>,
}

const CLIENT: Option<u32> = Some(16 * 1024);

async fn serve_limited(hub: &Hub, limits: Limits) -> SocketAddr {
    let service = TowerToHyperService::new(example::app(hub.clone(), WINDOW));
    start(async move |listener| {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            (limits.set_options)(&stream).unwrap();
            let mut server = http1::Builder::new();
            if let Some(size) = limits.max_buf_size {
                server.max_buf_size(size);
            }
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service.clone()));
        }
    })
    .await
}

/// Returns the number of bytes and of prices that a client received after it was stalled, before the
/// first price that was the newest then.
async fn stale(limits: Limits) -> (usize, usize) {
    const ROUNDS: usize = 150;
    const FIRST: usize = 10_000;
    let (hub, symbols) = market();
    let address = serve_limited(&hub, limits).await;
    publish_round(&hub, &symbols, FIRST);

    let socket = TcpSocket::new_v4().unwrap();
    if let Some(size) = limits.client {
        socket.set_recv_buffer_size(size).unwrap();
    }
    let mut stream = soon(socket.connect(address)).await.unwrap();
    let head = format!("GET /prices?symbols={} HTTP/1.1\r\nhost: a\r\n\r\n", symbols.join(","));
    stream.write_all(head.as_bytes()).await.unwrap();
    read_round(&mut stream, FIRST).await;
    // The client is stalled now. The pauses are those of the prices.
    let mut ticks = interval(WINDOW + Duration::from_millis(1));
    for price in FIRST + 1..=FIRST + ROUNDS {
        ticks.tick().await;
        publish_round(&hub, &symbols, price);
    }
    let received = read_round(&mut stream, FIRST + ROUNDS).await;
    let newest = received.find(&price_text(FIRST + ROUNDS)).unwrap();
    (newest, received[..newest].matches("data: ").count())
}

fn price_text(price: usize) -> String {
    format!(" {price}.00\n")
}

/// Reads until all 500 prices of a round have come.
async fn read_round(stream: &mut TcpStream, price: usize) -> String {
    let mut received = Vec::new();
    loop {
        let read = soon(stream.read_buf(&mut received)).await.unwrap();
        assert_ne!(read, 0, "the stream has ended");
        // The last round is the last that is sent, in less than this.
        let tail = String::from_utf8_lossy(&received[received.len().saturating_sub(64 * 1024)..]);
        if tail.matches(&price_text(price)).count() == 500 {
            return String::from_utf8_lossy(&received).into_owned();
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_client_receives_few_prices_that_were_replaced_meanwhile() {
    let limits = Limits { set_options: example::set_options, max_buf_size: None, client: CLIENT };
    let with = stale(limits).await;
    let without = stale(Limits { set_options: |stream| stream.set_nodelay(true), ..limits }).await;
    // Kernels round the sizes of buffers up.
    assert!(with.0 < 128 * 1024, "{with:?}");
    assert!(without.0 > 4 * with.0, "{with:?} with the options, {without:?} without");
}

/// Sets an option of a server's socket.
type SetOption = fn(&TcpStream) -> io::Result<()>;

/// Prints the table of the page on proxies and sockets:
/// `cargo test --package tower-sse-e2e --test examples -- --ignored --nocapture stale_bytes`
#[cfg(target_os = "linux")]
#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_bytes() {
    let options: [(&str, SetOption); 3] = [
        ("none", |stream| stream.set_nodelay(true)),
        ("TCP_NOTSENT_LOWAT of 16 KiB", example::set_options),
        ("SO_SNDBUF of 16 KiB", |stream| {
            stream.set_nodelay(true)?;
            socket2::SockRef::from(stream).set_send_buffer_size(16 * 1024)
        }),
    ];
    for (name, set_options) in options {
        for max_buf_size in [None, Some(8 * 1024)] {
            for client in [CLIENT, None] {
                let (bytes, prices) = stale(Limits { set_options, max_buf_size, client }).await;
                println!(
                    "{name}, max_buf_size {max_buf_size:?}, receive buffer {client:?}: {} KiB, \
                     {prices} prices",
                    bytes / 1024
                );
            }
        }
    }
}
