//! The example `ticker`: the choice of symbols, and the prices that a stalled client receives.

use std::{net::SocketAddr, time::Duration};

use axum::serve::ListenerExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::interval,
};
use tower_sse::{LastEventId, hub::Hub};

use crate::support::{EventReader, client, listen, serve_axum, soon};

#[path = "../../../examples/ticker/main.rs"]
#[allow(dead_code)]
mod example;

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

/// Returns the number of bytes and of prices that a client received after it was stalled, before the
/// first price that was the newest then.
async fn stale(has_options: bool) -> (usize, usize) {
    const ROUNDS: usize = 150;
    const FIRST: usize = 10_000;
    let (hub, symbols) = market();
    let (listener, address) = listen().await;
    let listener = listener.tap_io(move |stream| {
        if has_options {
            example::set_options(stream).unwrap();
        }
    });
    let app = example::app(hub.clone(), WINDOW);
    tokio::spawn(async move { axum::serve(listener, app).await });
    publish_round(&hub, &symbols, FIRST);

    let socket = TcpSocket::new_v4().unwrap();
    // A client's own buffer is not the server's to set.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
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
    let (with, without) = (stale(true).await, stale(false).await);
    println!(
        "stale bytes and prices: {with:?} with the example's socket options, {without:?} without"
    );
    // Kernels round the sizes of buffers up.
    assert!(with.0 < 128 * 1024, "{with:?}");
    assert!(without.0 > 4 * with.0, "{with:?} with the options, {without:?} without");
}
