//! Prints how late events of several sizes arrive over loopback, from `axum::serve` with and
//! without `TCP_NODELAY`: 400 a second over each of ten connections, for five seconds. Some
//! connections have few late events and others many, so there are several connections.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{iter, thread};

use axum::{Router, routing::get, serve::ListenerExt};
use tokio::{net::TcpListener, runtime, time::interval};
use tokio_stream::{StreamExt, wrappers::IntervalStream};
use tower_sse::{Event, SseLayer};

const CONNECTIONS: usize = 10;
const EVENTS: usize = 2_000;
const PERIOD: Duration = Duration::from_micros(2_500);

/// Serves events of `bytes` bytes whose data begins with the time and returns the address.
fn serve(bytes: usize, nodelay: bool, began: Instant) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("the address of a listener");
    let events = move || async move {
        let events = IntervalStream::new(interval(PERIOD)).map(move |_| {
            let now = began.elapsed().as_nanos();
            // "data: " and two line feeds are in the size too.
            Event::from(format!("{now:<width$}", width = bytes - 8))
        });
        tower_sse::response(events)
    };
    let app = Router::new().route("/", get(events)).layer(SseLayer::new());
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            listener.set_nonblocking(true).expect("a socket that does not block");
            let listener = TcpListener::from_std(listener).expect("a listener of the runtime");
            let listener = listener
                .tap_io(move |socket| socket.set_nodelay(nodelay).expect("a connected socket"));
            axum::serve(listener, app).await.expect("a server that goes on");
        });
    });
    address
}

/// Returns the delays of the events of one connection, in milliseconds.
fn delays(bytes: usize, nodelay: bool) -> Vec<f64> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(serve(bytes, nodelay, began)).expect("a server");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("an open connection");
    let mut lines = BufReader::new(stream).lines();
    iter::from_fn(|| {
        let line = lines.next().expect("a stream without an end").expect("text");
        let sent = line.strip_prefix("data: ").map(|sent| sent.trim().parse().expect("a time"));
        let delay = |sent| began.elapsed().saturating_sub(Duration::from_nanos(sent));
        Some(sent.map(|sent| delay(sent).as_secs_f64() * 1e3))
    })
    .flatten()
    .take(EVENTS)
    .collect()
}

fn main() {
    println!(
        "| bytes of an event | `TCP_NODELAY` | median delay | 90 % | 99 % |\n|---|---|---|---|---|"
    );
    for bytes in [32, 256, 600, 2_000] {
        for (nodelay, name) in [(false, "no"), (true, "yes")] {
            let clients: Vec<_> =
                (0..CONNECTIONS).map(|_| thread::spawn(move || delays(bytes, nodelay))).collect();
            let mut delays: Vec<_> = clients
                .into_iter()
                .flat_map(|client| client.join().expect("a client that has its events"))
                .collect();
            delays.sort_by(f64::total_cmp);
            let [median, most, nearly_all] =
                [50, 90, 99].map(|percent| delays[delays.len() * percent / 100]);
            println!("| {bytes} | {name} | {median:.2} ms | {most:.2} ms | {nearly_all:.2} ms |");
        }
    }
}
