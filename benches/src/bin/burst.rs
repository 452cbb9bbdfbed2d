//! Prints how many of 8,000 events, published in a loop, arrive at clients that read all the time,
//! and how long publishing takes. Arguments: the length of the data (by default 4 bytes) and the
//! number of clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use std::{env, thread};

use axum::{Router, routing::get, serve::ListenerExt};
use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tower_sse::{SseLayer, hub::Hub};

const EVENTS: usize = 8_000;
const ROUNDS: usize = 5;

#[derive(Default)]
struct Received {
    events: usize,
    gaps: usize,
}

/// Reads until the last event.
async fn read(address: SocketAddr) -> Received {
    let mut stream = TcpStream::connect(address).await.expect("a server");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("an open connection");
    let (mut received, mut bytes) = (Received::default(), Vec::with_capacity(128 << 10));
    let last = format!("data: {:04}", EVENTS - 1);
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.expect("an open connection"), 0);
        let mut begin = 0;
        for end in memmem::find_iter(&bytes, b"\n\n") {
            let block = &bytes[begin..end];
            begin = end;
            if memmem::find(block, b"event: gap").is_some() {
                received.gaps += 1;
            } else if memmem::find(block, b"data: ").is_some() {
                received.events += 1;
            }
            if memmem::find(block, last.as_bytes()).is_some() {
                return received;
            }
        }
        bytes.drain(..begin);
    }
}

/// Publishes a burst to `clients` clients. Returns what each received, and the publisher's time.
fn burst(server: &Runtime, clients: usize, bytes: usize) -> (Vec<Received>, Duration) {
    let hub = Hub::new();
    let subscribed = hub.clone();
    let events = move || async move { subscribed.subscribe(["a"]).resume(None).response() };
    let app = Router::new().route("/", get(events)).layer(SseLayer::new());
    let listener = server.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("the address of a listener");
    let listener = listener.tap_io(|it| it.set_nodelay(true).expect("a connected socket"));
    let serving = server.spawn(async move { axum::serve(listener, app).await });
    let reading = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(join_all((0..clients).map(|_| read(address))))
    });
    let publisher = server.spawn(async move {
        while hub.subscriber_count("a") < clients {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        for n in 0..EVENTS {
            let data = format!("{n:04}{:width$}", "", width = bytes.saturating_sub(4));
            hub.publish("a", data).await.expect("an open hub");
        }
        (began.elapsed(), hub)
    });
    let (took, _hub) = server.block_on(publisher).expect("a publisher that does not panic");
    // Wait within `block_on`, because a runtime of one thread serves only while it runs.
    let waiting = server.spawn_blocking(move || reading.join().expect("a client that reads"));
    let received = server.block_on(waiting).expect("clients that do not panic");
    serving.abort();
    (received, took)
}

fn main() {
    let mut arguments = env::args().skip(1).map(|it| it.parse().expect("a number"));
    let bytes = arguments.next().unwrap_or(4);
    let clients = arguments.next().map_or(vec![1, 100, 1_000], |clients| vec![clients]);
    let one = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut two = runtime::Builder::new_multi_thread();
    let two = two.worker_threads(2).enable_all().build().expect("a runtime");
    println!("| clients | threads | events of each client | gaps | publisher |");
    println!("|---|---|---|---|---|");
    for clients in clients {
        for (threads, server) in [(1, &one), (2, &two)] {
            let rounds: Vec<_> = (0..ROUNDS).map(|_| burst(server, clients, bytes)).collect();
            let all = || rounds.iter().flat_map(|(received, _)| received);
            let least = all().map(|it| it.events).min().unwrap_or_default();
            let most = all().map(|it| it.events).max().unwrap_or_default();
            let gaps: usize = all().map(|it| it.gaps).sum();
            let mut times: Vec<_> =
                rounds.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
            times.sort_by(f64::total_cmp);
            let (median, longest) = (times[ROUNDS / 2], times[ROUNDS - 1]);
            println!(
                "| {clients} | {threads} | {least} to {most} | {gaps} | {median:.0} ms, at most {longest:.0} ms |"
            );
        }
    }
}
