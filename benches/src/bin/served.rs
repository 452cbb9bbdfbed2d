//! Streams served by hyper over loopback: how long a stream that is always ready occupies its
//! thread, and how much memory stalled clients and idle streams take.
//!
//! - `served hold axum|tower-sse|pending`
//! - `served stalled axum|tower-sse|pending [BYTES-READ-BEFORE]`
//! - `served stalled-hub shared|own|one-by-one|places|places-own`
//! - `served idle axum|tower-sse|operated|shared|own|pending|headers`
//!
//! With `shared`, all clients subscribe to one topic of a hub. With `own`, each client subscribes
//! to a topic of its own too. With `one-by-one`, the clients stall one after another instead of
//! together. With `places`, all events are published before the clients come, which resume from 64
//! positions. With `places-own`, each has a topic of its own too. Run each subject in a process of
//! its own, because the memory is the process's.
//!
//! `served idle SUBJECT http2` and `served stalled SUBJECT http2 WINDOW read|unread [SEND-BUFFER]`
//! have 100 streams over each connection. A `stalled` stream has a window of `WINDOW` bytes, which
//! the client never opens again. An `unread` client does not read its connection either.
//! `SEND-BUFFER` is hyper's `max_send_buf_size`.
//!
//! `served idle gzip|br|zstd EVENTS` has tower-http's compressor outside of the layer, and each
//! stream has sent `EVENTS` events of 64 bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{convert::Infallible, env, fs, marker::PhantomData, sync::Arc, thread};

use axum::body::Body;
use axum::response::{IntoResponse, Response, Sse, sse};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::{net::TcpListener, runtime, task::yield_now};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_http::compression::CompressionLayer;
use tower_sse::hub::Hub;
use tower_sse::{BoxError, Event, LastEventId, MaxAge, Retention, SseLayer};
use tower_sse_benches::{OURS, payload, stream::Repeat};

#[path = "served/over_http2.rs"]
mod over_http2;

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["hold", subject] => hold(subject),
        ["stalled", subject] => stalled(subject, 0),
        ["stalled", subject, read] => stalled(subject, read.parse().expect("a number of bytes")),
        ["stalled-hub", "places"] => behind_hub(false),
        ["stalled-hub", "places-own"] => behind_hub(true),
        ["stalled-hub", subject] => stalled_hub(subject),
        ["stalled", subject, "http2", window, client @ ("read" | "unread"), ..] => {
            over_http2::stalled(
                subject,
                window.parse().expect("a number of bytes"),
                *client == "read",
            );
        }
        ["idle", subject, "http2"] => over_http2::idle(subject),
        ["idle", subject] | ["idle", subject, _] => idle(subject),
        _ => panic!("usage: served hold|stalled|stalled-hub|idle SUBJECT [BYTES | http2 …]"),
    }
}

/// Returns an endless stream. `axum` and `tower-sse` send 64-byte events, which are counted. The
/// other subjects send nothing.
fn endless(subject: &str, made: Arc<AtomicU64>) -> Response {
    let text = payload::line(64);
    let count = move || made.fetch_add(1, Ordering::Relaxed);
    match subject {
        "axum" => Sse::new(Repeat::new(u64::MAX, move |_| {
            count();
            Ok::<_, Infallible>(sse::Event::default().data(text))
        }))
        .into_response(),
        OURS => tower_sse::response(Repeat::new(u64::MAX, move |_| {
            count();
            Event::from_static(text)
        }))
        .into_response(),
        "pending" => {
            Body::from_stream(Pending::<Result<&str, Infallible>>(PhantomData)).into_response()
        }
        // What the layer sets, and hyper keeps for as long as the connection lasts.
        "headers" => {
            let headers = [
                ("content-type", "text/event-stream"),
                ("cache-control", "no-cache, no-transform"),
                ("x-accel-buffering", "no"),
                ("incremental", "?1"),
            ];
            (headers, endless("pending", Arc::default())).into_response()
        }
        other => panic!("no subject {other}"),
    }
}

/// Returns an idle stream. Only with a compressor, it has events first.
fn silent(subject: &str, hub: &Hub) -> Response {
    match subject {
        SHARED | OWN => subscribed(hub, subject),
        "axum" => Sse::new(Pending::<Result<sse::Event, Infallible>>(PhantomData))
            .keep_alive(sse::KeepAlive::default())
            .into_response(),
        coding if CODINGS.contains(&coding) => {
            let events =
                Repeat::new(number(3).unwrap_or(1), |_| Event::from_static(payload::line(64)));
            tower_sse::response(events.chain(Pending(PhantomData))).into_response()
        }
        OURS | OPERATED => {
            let nothing: Pending<Event> = Pending(PhantomData);
            tower_sse::response(nothing).into_response()
        }
        other => endless(other, Arc::default()),
    }
}

/// All clients subscribe to one topic.
const SHARED: &str = "shared";
/// Each client subscribes to the shared topic and to one of its own.
const OWN: &str = "own";

/// The content codings of tower-http's compressor.
const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

fn coding() -> Option<String> {
    env::args().nth(2).filter(|subject| CODINGS.contains(&&**subject))
}

fn number(argument: usize) -> Option<u64> {
    env::args().nth(argument)?.parse().ok()
}

fn speaks_http2() -> bool {
    env::args().nth(3).is_some_and(|protocol| protocol == "http2")
}

/// All clients subscribe to one topic, each once the client before has stalled.
const ONE_BY_ONE: &str = "one-by-one";

fn subscribed(hub: &Hub, subject: &str) -> Response {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);

    let own = format!("client:{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
    let topics = ["news", &own];
    let topics = if subject == OWN { &topics[..] } else { &topics[..1] };
    tower_sse::response(hub.subscribe(topics).resume(None)).into_response()
}

/// The layer with a shutdown, a maximum age, a limit, disconnects and close reports.
const OPERATED: &str = "operated";

fn layer(subject: &str) -> Option<SseLayer> {
    match subject {
        OURS | SHARED | OWN | ONE_BY_ONE | "gzip" | "br" | "zstd" => Some(SseLayer::new()),
        OPERATED => Some(
            SseLayer::new()
                .shutdown(CancellationToken::new())
                .max_age(MaxAge::new(Duration::from_secs(3600)).jitter(0.1))
                .max_streams(1_000_000)
                .track_disconnects(true)
                .on_close(|_| {}),
        ),
        _ => None,
    }
}

struct Pending<T>(PhantomData<fn() -> T>);

impl<T> futures_core::Stream for Pending<T> {
    type Item = T;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

/// Serves until the process ends, with `layer`, if any. If the arguments name a coding, its
/// compressor is outside of the layer.
async fn serve<F>(listener: TcpListener, layer: Option<SseLayer>, answer: F)
where
    F: Fn() -> Response + Clone + Send + 'static,
{
    let inner = service_fn(move |_: Request<Incoming>| {
        let response = answer();
        async move { Ok::<_, Infallible>(response) }
    });
    match layer {
        Some(layer) => {
            let everything = CompressionLayer::new().compress_when(|_, _, _: &_, _: &_| true);
            if coding().is_some() {
                accept(listener, everything.layer(layer.layer(inner))).await;
            } else {
                accept(listener, layer.layer(inner)).await;
            }
        }
        None => accept(listener, inner).await,
    }
}

fn serve_endless(listener: TcpListener, subject: &str) -> (SocketAddr, Arc<AtomicU64>) {
    let address = listener.local_addr().expect("an address");
    let made = Arc::new(AtomicU64::new(0));
    let (served, counted) = (subject.to_owned(), Arc::clone(&made));
    let answer = move || endless(&served, Arc::clone(&counted));
    tokio::spawn(serve(listener, layer(subject), answer));
    (address, made)
}

fn serve_silent(listener: TcpListener, subject: &str) -> SocketAddr {
    let address = listener.local_addr().expect("an address");
    let (served, hub) = (subject.to_owned(), Hub::new());
    tokio::spawn(serve(listener, layer(subject), move || silent(&served, &hub)));
    address
}

async fn accept<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        let (io, _) = listener.accept().await.expect("a connection");
        io.set_nodelay(true).expect("a socket option");
        let (io, service) = (TokioIo::new(io), TowerToHyperService::new(service.clone()));
        if speaks_http2() {
            let mut http2 = http2::Builder::new(TokioExecutor::new());
            if let Some(bytes) = number(6) {
                http2.max_send_buf_size(bytes.try_into().expect("a size"));
            }
            drop(tokio::spawn(http2.serve_connection(io, service)));
        } else {
            drop(tokio::spawn(http1::Builder::new().serve_connection(io, service)));
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {}\r\n\r\n",
        coding().as_deref().unwrap_or("identity")
    );
    stream.write_all(request.as_bytes()).expect("a request sent");
    stream
}

/// Opens `clients` connections and reads the head of each response.
fn open(address: SocketAddr, clients: u64) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(address);
        let mut head = [0; 1024];
        assert_ne!(stream.read(&mut head).expect("a head"), 0);
        stream
    };
    (0..clients).map(open).collect()
}

fn on_one_thread<F: Future<Output = ()>>(work: impl FnOnce(TcpListener) -> F) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        work(TcpListener::bind("127.0.0.1:0").await.expect("a port")).await;
    });
}

/// Opens clients on a thread of their own, because they block.
async fn on_a_thread<T: Send + 'static>(open: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(open).await.expect("clients")
}

const OBSERVED: Duration = Duration::from_secs(3);

/// Measures how long a task that only yields waits beside a stream that a client reads.
fn hold(subject: &str) {
    on_one_thread(|listener| async {
        let (address, _) = serve_endless(listener, subject);
        thread::spawn(move || {
            let mut stream = connect(address);
            let mut buffer = vec![0; 256 * 1024];
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        let start = Instant::now();
        let mut waits = Vec::new();
        let mut last = start;
        while start.elapsed() < OBSERVED {
            yield_now().await;
            let now = Instant::now();
            let wait = now - last;
            if wait > Duration::from_micros(20) {
                waits.push(wait);
            }
            last = now;
        }
        // This adds a wait, because there may be none beside a stream that sends nothing.
        waits.push(Duration::ZERO);
        waits.sort();
        println!(
            "{subject}: waits over 20 us: {}, median {:?}, p99 {:?}, longest {:?}",
            waits.len(),
            waits[waits.len() / 2],
            waits[waits.len() * 99 / 100],
            waits[waits.len() - 1]
        );
    });
}

const CLIENTS: u64 = 100;

/// Measures the memory per client that has read `read_before` bytes and then stalls.
fn stalled(subject: &str, read_before: usize) {
    on_one_thread(|listener| async {
        let (address, made) = serve_endless(listener, subject);
        let clients = move || -> Vec<_> {
            let mut buffer = vec![0; 64 * 1024];
            let mut client = || {
                let mut stream = connect(address);
                let mut read = 0;
                while read < read_before {
                    read += stream.read(&mut buffer).expect("bytes to read");
                }
                stream
            };
            (0..CLIENTS).map(|_| client()).collect()
        };
        // One client comes first, to exclude what the process allocates once.
        let first = on_a_thread(move || connect(address)).await;
        settle(&made).await;
        let before = resident_kib();
        let open = on_a_thread(clients).await;
        settle(&made).await;
        let held = resident_kib() - before;
        println!("{subject}: {:.1} KiB for each client", held as f64 / CLIENTS as f64);
        drop((first, open));
    });
}

/// Measures the memory per client of a hub. The clients stall after the head, while events are
/// published that would take 5 MB in a queue per client. What the hub retains is subtracted.
fn stalled_hub(subject: &str) {
    const EVENTS: u64 = 20_000;

    on_one_thread(|listener| async {
        let address = listener.local_addr().expect("an address");
        let hub = Hub::builder().retention(Retention::new().events(1024)).build();
        let (served, serving) = (subject.to_owned(), hub.clone());
        tokio::spawn(serve(listener, layer(subject), move || subscribed(&serving, &served)));
        let text = payload::line(256);
        let publish = |count| {
            let hub = hub.clone();
            async move {
                for _ in 0..count {
                    let receipt = hub.publish_now("news", Event::from(text));
                    assert!(receipt.is_ok(), "an event that can be published");
                    yield_now().await;
                }
            }
        };
        // One client comes first, to exclude what the process allocates once and what the hub
        // retains.
        let first = on_a_thread(move || open(address, 1)).await;
        publish(EVENTS).await;
        let before = resident_kib();
        let mut stalled = Vec::new();
        let (turns, at_once) = if subject == ONE_BY_ONE { (CLIENTS, 1) } else { (1, CLIENTS) };
        for _ in 0..turns {
            stalled.extend(on_a_thread(move || open(address, at_once)).await);
            publish(EVENTS).await;
        }
        let held = resident_kib() - before;
        println!("{subject}: {:.1} KiB for each client", held as f64 / CLIENTS as f64);
        drop((first, stalled));
    });
}

/// Measures the memory per client. The clients resume from 64 positions, each with at most about a
/// megabyte to read. With `own`, each client also has a topic of its own, and every third of these
/// topics has ten events between those of the shared topic.
fn behind_hub(own: bool) {
    const CLIENTS: u64 = 300;
    const EVENTS: u64 = 1000;

    on_one_thread(|listener| async move {
        let address = listener.local_addr().expect("an address");
        // Accepted connections inherit this buffer size. The kernel's default would depend on the
        // machine's memory.
        let socket = socket2::SockRef::from(&listener);
        socket.set_send_buffer_size(16 * 1024).expect("a socket option");
        let hub = Hub::new();
        let text = payload::line(1000);
        let mut places = Vec::new();
        for n in 0..EVENTS {
            let receipt = hub.publish_now("news", Event::from(text)).expect("an event");
            if n % 13 == 0 && places.len() < 64 {
                places.push(receipt.id());
            }
            if own && n * 3 < CLIENTS * 10 {
                let client = format!("client:{}", n * 3 % CLIENTS);
                _ = hub.publish_now(&client, Event::from(text)).expect("an event");
            }
        }
        let (clients, asked) = (Arc::new(AtomicU64::new(0)), hub.clone());
        let answer = move || {
            let n = clients.fetch_add(1, Ordering::Relaxed);
            let client = format!("client:{}", n % CLIENTS);
            let topics = ["news", &client];
            let place = places[n as usize % places.len()].clone();
            let subscribe = asked.subscribe(if own { &topics[..] } else { &topics[..1] });
            tower_sse::response(subscribe.resume(LastEventId::from(place))).into_response()
        };
        tokio::spawn(serve(listener, Some(SseLayer::new()), answer));
        // One client comes first, to exclude what the process allocates once.
        let first = on_a_thread(move || open(address, 1)).await;
        let before = resident_kib();
        let stalled = on_a_thread(move || open(address, CLIENTS)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let held = resident_kib() - before;
        let subject = if own { "places-own" } else { "places" };
        println!("{subject}: {:.1} KiB for each client", held as f64 / CLIENTS as f64);
        drop((first, stalled));
    });
}

/// Measures the memory of each of 2,000 idle streams, once their clients have the head.
fn idle(subject: &str) {
    const STREAMS: u64 = 2_000;

    on_one_thread(|listener| async {
        let address = serve_silent(listener, subject);
        // Some clients come first, to exclude what the process allocates once.
        let first = on_a_thread(move || open(address, 50)).await;
        let before = resident_kib();
        let streams = on_a_thread(move || open(address, STREAMS)).await;
        let held = resident_kib() - before;
        println!("{subject}: {:.2} KiB for each stream", held as f64 / STREAMS as f64);
        drop((first, streams));
    });
}

async fn settle(made: &AtomicU64) {
    let mut last = u64::MAX;
    while made.load(Ordering::Relaxed) != last {
        last = made.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
