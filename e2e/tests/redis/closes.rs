//! Closing the streams of a subject in three processes, on a Redis that is killed, wiped and cut
//! off. Each process serves its streams over sockets.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Router, extract::Path, routing::get};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tower_sse::{
    Event, SseLayer,
    hub::Hub,
    redis::Redis,
    streams::{CloseError, Streams, Subjects},
};

use crate::{proxy::Proxy, server::Server, until};

const SECOND: Duration = Duration::from_secs(1);

/// A process with streams that it can close everywhere.
struct Process {
    streams: Streams,
    address: SocketAddr,
    serving: AbortHandle,
}

impl Process {
    async fn start(broker: Redis) -> Self {
        let hub = Hub::connect(broker).await.unwrap();
        let streams = Streams::connect(&hub, "closes");
        let events = async |Path(subject): Path<String>, subjects: Subjects| {
            subjects.add(subject);
            subjects.add("everyone");
            let first = stream::iter([Ok::<_, Infallible>(Event::from("open"))]);
            tower_sse::response(stream::StreamExt::chain(first, stream::pending()))
        };
        let app: Router =
            Router::new().route("/{subject}", get(events)).layer(SseLayer::new().streams(&streams));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { streams, address, serving: serving.abort_handle() }
    }

    /// Opens a stream, and returns a task that ends when the stream does, with the time of its end.
    async fn open(&self, subject: &str) -> JoinHandle<Instant> {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET /{subject} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"data: open\n\n\r\n") {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
        }
        tokio::spawn(async move {
            let mut rest = Vec::new();
            while !rest.ends_with(b"0\r\n\r\n") {
                assert_ne!(socket.read_buf(&mut rest).await.unwrap(), 0, "{rest:?}");
            }
            Instant::now()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn open_each(processes: &[Process], subject: &str) -> Vec<JoinHandle<Instant>> {
    let mut open = Vec::new();
    for process in processes {
        open.push(process.open(subject).await);
    }
    open
}

/// Asserts that these streams end, each within a second of `since` or before it.
async fn assert_ended(open: Vec<JoinHandle<Instant>>, since: Instant) {
    for stream in open {
        let ended = timeout(10 * SECOND, stream).await.expect("an end").unwrap();
        let late = ended.saturating_duration_since(since);
        assert!(late < SECOND, "{late:?} after the acknowledgement");
    }
}

async fn start(server: &Server) -> [Process; 3] {
    [
        Process::start(server.broker()).await,
        Process::start(server.broker()).await,
        Process::start(server.broker()).await,
    ]
}

/// Closes again until the broker acknowledges.
async fn close(process: &Process, subject: &str) -> Instant {
    let deadline = Instant::now() + 30 * SECOND;
    while let Err(error) = process.streams.close(subject).await {
        assert!(Instant::now() < deadline, "{error:?}");
    }
    Instant::now()
}

#[tokio::test]
async fn a_close_ends_the_streams_of_all_processes_within_a_second() {
    let Some(server) = Server::start().await else { return };
    let processes = start(&server).await;
    let others = open_each(&processes, "other").await;
    for round in 0..20 {
        let open = open_each(&processes, "user").await;
        let acknowledged = close(&processes[round % 3], "user").await;
        assert_ended(open, acknowledged).await;
    }
    assert!(others.iter().all(|stream| !stream.is_finished()), "innocent streams stay");
    let open = open_each(&processes, "user").await;
    processes[0].streams.close_except("everyone", "user").await.unwrap();
    assert_ended(others, Instant::now()).await;
    assert!(open.iter().all(|stream| !stream.is_finished()));
}

/// The other processes read the close when Redis is back with its data.
#[tokio::test]
async fn a_close_during_an_outage_fails_and_can_be_repeated() {
    let Some(mut server) = Server::start_durable().await else { return };
    let processes = start(&server).await;
    let open = open_each(&processes, "user").await;
    let others = open_each(&processes, "other").await;
    server.kill();
    let error = processes[0].streams.close("user").await.unwrap_err();
    assert!(matches!(error, CloseError::Refused(_) | CloseError::Unknown(_)), "{error:?}");
    assert_eq!(processes[0].streams.count("user"), 0, "the streams here have ended");
    assert_eq!(processes[1].streams.count("user"), 1);
    server.restart().await;
    let acknowledged = close(&processes[0], "user").await;
    assert_ended(open, acknowledged).await;
    assert!(others.iter().all(|stream| !stream.is_finished()), "nothing is lost");
}

/// Closes may be lost with the data.
#[tokio::test]
async fn a_wiped_redis_ends_all_streams_with_subjects() {
    let Some(mut server) = Server::start().await else { return };
    let processes = start(&server).await;
    let open = open_each(&processes, "user").await;
    close(&processes[0], "nobody").await;
    server.kill();
    server.restart().await;
    for stream in open {
        timeout(10 * SECOND, stream).await.expect("an end").unwrap();
    }
    // Each process follows again.
    until(|| processes.iter().all(|process| process.streams.count("everyone") == 0)).await;
    let open = open_each(&processes, "user").await;
    let acknowledged = close(&processes[1], "user").await;
    assert_ended(open, acknowledged).await;
}

#[tokio::test]
async fn a_process_that_was_cut_off_ends_its_streams_when_it_is_back() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let processes = [
        Process::start(server.broker()).await,
        Process::start(server.broker()).await,
        Process::start(proxy.broker()).await,
    ];
    let away = processes[2].open("user").await;
    let other = processes[2].open("other").await;
    proxy.hold();
    let connected = open_each(&processes[..2], "user").await;
    let acknowledged = close(&processes[0], "user").await;
    assert_ended(connected, acknowledged).await;
    assert!(!away.is_finished());
    proxy.release();
    assert_ended(vec![away], Instant::now()).await;
    assert!(!other.is_finished(), "innocent streams stay");
}
