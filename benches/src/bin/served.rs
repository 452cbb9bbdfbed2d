//! Streams that are always ready, served by hyper over loopback: how long one holds its thread, and
//! the memory held for clients that do not read.
//!
//! `served hold axum|tower-sse|pending` and `served stalled axum|tower-sse|pending [BYTES-READ-BEFORE]`.
//! Each in a process of its own, for the memory is the process's.

use std::{
    convert::Infallible,
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response, Sse, sse},
};
use http::Request;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, runtime, task::yield_now};
use tower::{Layer, service_fn};
use tower_sse::{Event, SseLayer};
use tower_sse_benches::{OURS, payload, stream::Repeat};

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        ["hold", subject] => hold(subject),
        ["stalled", subject] => stalled(subject, 0),
        ["stalled", subject, read] => stalled(subject, read.parse().expect("a number of bytes")),
        _ => panic!("usage: served hold|stalled SUBJECT [BYTES]"),
    }
}

/// An endless stream of events of 64 bytes; counts them.
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
            Event::from(text)
        }))
        .into_response(),
        "pending" => Body::from_stream(Pending).into_response(),
        other => panic!("no subject {other}"),
    }
}

struct Pending;

impl futures_core::Stream for Pending {
    type Item = Result<&'static str, Infallible>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

/// Serves until the process ends; `SseLayer` around our own stream only.
async fn serve(listener: TcpListener, subject: String, made: Arc<AtomicU64>) {
    loop {
        let (io, _) = listener.accept().await.expect("a connection");
        io.set_nodelay(true).expect("a socket option");
        let (subject, made) = (subject.clone(), Arc::clone(&made));
        let ours = subject == OURS;
        let inner = service_fn(move |_: Request<Incoming>| {
            let response = endless(&subject, Arc::clone(&made));
            async move { Ok::<_, Infallible>(response) }
        });
        let io = TokioIo::new(io);
        if ours {
            let service = TowerToHyperService::new(SseLayer::new().layer(inner));
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        } else {
            tokio::spawn(
                http1::Builder::new().serve_connection(io, TowerToHyperService::new(inner)),
            );
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request sent");
    stream
}

fn on_one_thread<F: Future<Output = ()>>(work: impl FnOnce(TcpListener) -> F) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        work(TcpListener::bind("127.0.0.1:0").await.expect("a port")).await;
    });
}

const OBSERVED: Duration = Duration::from_secs(3);

/// How long a task waits that only ever yields, beside a stream that a client reads.
fn hold(subject: &str) {
    on_one_thread(|listener| async {
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, subject.to_owned(), Arc::default()));
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
        // At least one, for a stream that sends nothing: what the machine itself makes one wait.
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

/// The memory of the process for each client that has read `read_before` bytes and then no more.
fn stalled(subject: &str, read_before: usize) {
    on_one_thread(|listener| async {
        let address = listener.local_addr().expect("an address");
        let made = Arc::new(AtomicU64::new(0));
        tokio::spawn(serve(listener, subject.to_owned(), Arc::clone(&made)));
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
        // One client first: what the process needs once is not theirs.
        let first = tokio::task::spawn_blocking(move || connect(address)).await.expect("a client");
        settle(&made).await;
        let before = resident_kib();
        let open = tokio::task::spawn_blocking(clients).await.expect("clients");
        settle(&made).await;
        let held = resident_kib() - before;
        println!("{subject}: {:.1} KiB for each client", held as f64 / CLIENTS as f64);
        drop((first, open));
    });
}

/// Until no more events are made.
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
