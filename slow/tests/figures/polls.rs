//! What a long poll costs the server compared with an event of a stream, in the same run.

use std::{env, net::SocketAddr, process};

use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower_sse::stats::Stats;
use tower_sse::{LastEventId, SseLayer, StreamOptions};

use crate::sqlite::own_time;
use crate::*;

const CLIENTS: usize = 2_000;

/// The clients are in another process, so that this process's time is the server's.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn poll_costs_little_beside_an_event_of_a_stream() {
    if let Ok(address) = env::var("TOWER_SSE_POLLERS") {
        return clients(address.parse().unwrap()).await;
    }
    let streamed = served(false).await;
    let polled = served(true).await;
    println!("{CLIENTS} clients: {streamed:.1} µs an event on a stream, {polled:.1} µs a poll");
    println!("10,000 clients, each a poll a second: {:.0} % of a processor", polled);
    assert!(polled < 10.0 * streamed, "{polled} {streamed}");
}

/// Returns the server's processor time for one event to one client, in microseconds.
async fn served(polls: bool) -> f64 {
    let (hub, stats) = (Hub::new(), Stats::new());
    let mut options = StreamOptions::new();
    if polls {
        options = options.long_poll(Duration::from_secs(25));
    }
    let events = async |State(hub): State<Hub>, last: Option<LastEventId>| {
        hub.subscribe_to("a").resume(last).response()
    };
    let layer = SseLayer::new().options(options).stats(&stats);
    let app = Router::new().route("/events", get(events)).with_state(hub.clone()).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut child = process::Command::new(env::current_exe().unwrap())
        .args(["--exact", "polls::poll_costs_little_beside_an_event_of_a_stream"])
        .env("TOWER_SSE_POLLERS", address.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let all_open = async || {
        while hub.stats().subscribers < CLIENTS {
            sleep(Duration::from_millis(100)).await;
        }
    };
    // Wait for the end of each client's first long poll, whose answer has the event `start`.
    while polls && stats.snapshot().closed < CLIENTS as u64 {
        sleep(Duration::from_millis(100)).await;
    }
    all_open().await;
    let (before, closed) = (own_time(), stats.snapshot().closed);
    let rounds = 5 * SECONDS as usize;
    for _ in 0..rounds {
        hub.publish("a", "x".repeat(BYTES)).await.unwrap();
        sleep(Duration::from_millis(1_500)).await;
        all_open().await;
    }
    let used = own_time() - before;
    let answers = if polls { stats.snapshot().closed - closed } else { (rounds * CLIENTS) as u64 };
    println!("polls: {polls}, {answers} answers, {used:.2} s");
    child.kill().unwrap();
    child.wait().unwrap();
    server.abort();
    used * 1e6 / answers as f64
}

/// Runs all clients. After each answer, a client asks again within a second, with its last id.
async fn clients(address: SocketAddr) {
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address))).collect();
    for client in clients {
        client.await.unwrap();
    }
}

async fn client(address: SocketAddr) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let mut headers = HeaderMap::new();
    headers.insert("accept", "text/event-stream".parse().unwrap());
    headers.insert("cache-control", "no-cache".parse().unwrap());
    headers.insert("host", "localhost".parse().unwrap());
    loop {
        let mut request = Request::get("/events").body(Empty::<Bytes>::new()).unwrap();
        *request.headers_mut() = headers.clone();
        let Ok(answer) = sender.send_request(request).await else { return };
        let mut body = answer.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap();
            let text = std::str::from_utf8(&data).unwrap();
            if let Some((_, id)) = text.rsplit_once("\nid: ") {
                headers.insert("last-event-id", id.trim_end().parse().unwrap());
            }
        }
        sleep(Duration::from_millis(fastrand::u64(200..1_000))).await;
    }
}
