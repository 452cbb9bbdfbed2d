//! The server process.

use std::{convert::Infallible, time::Instant};

use axum::{
    Router,
    response::sse::{self, Sse},
    routing::get,
};
use socket2::SockRef;
use tokio::{net::TcpListener, runtime::Runtime, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse::{Retry, StreamOptions};

use crate::*;

pub(super) const NO_LAYER: &str = "NoLayer";

const PERIOD: Duration = Duration::from_millis(100);

/// Serves until a SIGTERM, like the `main` of each example. The task is a host or `NO_LAYER`, and the
/// deadline of the shutdown in milliseconds.
#[test]
#[ignore = "the server of the tests beside it, which start it in a process of its own"]
fn serves_until_sigterm() {
    let Some(task) = Process::task() else { return };
    let (runtime, shutdown) = (Runtime::new().unwrap(), CancellationToken::new());
    let signalled = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Accepted sockets inherit it. By default each client that does not read takes megabytes.
        SockRef::from(&listener).set_send_buffer_size(SMALL_SOCKET).unwrap();
        Process::announce(listener.local_addr().unwrap());
        let (host, deadline) = task.split_once(' ').unwrap();
        let deadline = Duration::from_millis(deadline.parse().unwrap());
        let host = Host::ALL.into_iter().find(|it| format!("{it:?}") == host);
        let signalled = tokio::spawn(wait_for_signal(host, shutdown.clone()));
        match host {
            Some(host) => with_the_layer(host, listener, shutdown, deadline).await,
            None => without_the_layer(listener, shutdown).await,
        }
        signalled.await.unwrap()
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    println!("exits {}", signalled.elapsed().as_millis());
}

async fn wait_for_signal(host: Option<Host>, shutdown: CancellationToken) -> Instant {
    match host {
        Some(Host::Axum) | None => graceful_axum::cancel_on_signal(shutdown).await,
        Some(Host::Hyper) => graceful_hyper::cancel_on_signal(shutdown).await,
        Some(Host::Tonic) => graceful_tonic::cancel_on_signal(shutdown).await,
    }
    Instant::now()
}

async fn with_the_layer(
    host: Host,
    listener: TcpListener,
    shutdown: CancellationToken,
    deadline: Duration,
) {
    let layer = SseLayer::new()
        .shutdown(shutdown.clone())
        .drain(Drain::at_once().retry(Retry::fixed(Duration::from_millis(1234))))
        .farewell(Event::new().event("restart").data("soon"));
    host.serve(listener, layer, handler(|parts| answer(&parts)), shutdown, deadline).await;
}

/// Answers with a stream. Each stream has a number in its query, by which its close is reported.
fn answer(parts: &Parts) -> Response<Body> {
    let number = parts.uri.query().unwrap().to_owned();
    let mut response = match parts.uri.path() {
        "/flood" => {
            let number = number.clone();
            flood(parts.version, move || println!("stalled {number}"))
        }
        path => Source::at(path).answer(Some(PERIOD)),
    };
    response.extensions_mut().insert(StreamOptions::new().on_close(move |closed| {
        println!("closed {number} {}", closed.reason);
    }));
    response
}

/// Serves as a program without this crate would.
async fn without_the_layer(listener: TcpListener, shutdown: CancellationToken) {
    async fn events() -> Sse<impl stream::Stream<Item = Result<sse::Event, Infallible>>> {
        let ticks = IntervalStream::new(interval(PERIOD));
        Sse::new(ticks.map(|_| Ok(sse::Event::default().data("busy"))))
    }
    async fn idle() -> Sse<impl stream::Stream<Item = Result<sse::Event, Infallible>>> {
        let hello = stream::iter([Ok(sse::Event::default().data("hello"))]);
        Sse::new(hello.chain(stream::pending()))
    }
    let app = Router::new().route(Source::Busy.path(), get(events)).fallback(idle);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned());
    server.await.unwrap();
}
