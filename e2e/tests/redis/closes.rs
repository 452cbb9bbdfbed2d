//! Closing a subject's streams in several processes, which serve the streams over sockets. The
//! tests of closes during losses and pauses are in the hub's `closes.rs`.

use std::time::Instant;

use axum::{extract::Path, response::Response, routing::get};

use super::support::{EventReader, SECOND, client, serve_axum};
use crate::*;

/// A process with streams that it can close everywhere.
struct Process {
    streams: Streams,
    address: SocketAddr,
}

/// The sessions that all processes share.
#[derive(Clone, Default)]
struct Sessions {
    logged_out: Arc<Mutex<HashSet<String>>>,
    /// Notified when a session was checked.
    checked: Arc<Notify>,
}

impl Sessions {
    fn check(&self, session: &str) -> bool {
        let is_logged_in = !self.logged_out.lock().unwrap().contains(session);
        self.checked.notify_one();
        is_logged_in
    }
}

impl Process {
    async fn start(server: &Server, sessions: Sessions) -> Self {
        let hub = Hub::connect(server.broker()).await.unwrap();
        let streams = Streams::follow(&hub, "closes");
        let events = async move |Path(subject): Path<String>, subjects: Subjects| -> Response {
            if !sessions.check(&subject) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            yield_now().await;
            subjects.add(subject);
            subjects.add("everyone");
            let first = stream::iter([Ok::<_, Infallible>(Event::from("open"))]);
            tower_sse::response(stream::StreamExt::chain(first, stream::pending())).into_response()
        };
        let app: Router =
            Router::new().route("/{subject}", get(events)).layer(SseLayer::new().streams(&streams));
        Self { streams, address: serve_axum(app).await }
    }

    /// Opens a stream, and returns a task that ends when the stream does, with the time of its end.
    async fn open(&self, subject: &str) -> JoinHandle<Instant> {
        let response = client::get(self.address, &format!("/{subject}"), &[]).await;
        let mut stream = EventReader::new(response);
        assert_eq!(stream.next().await.unwrap().data, "open");
        tokio::spawn(async move {
            assert_eq!(stream.rest().await, []);
            Instant::now()
        })
    }
}

async fn open_each(processes: &[Process], subject: &str) -> Vec<JoinHandle<Instant>> {
    join_all(processes.iter().map(|process| process.open(subject))).await
}

/// Waits until these streams have ended and returns how long after `since` the last one did.
async fn assert_ended(open: Vec<JoinHandle<Instant>>, since: Instant) -> Duration {
    let ends = timeout(PATIENCE, try_join_all(open)).await.expect("their ends").unwrap();
    ends.into_iter().max().map_or(Duration::ZERO, |latest| latest.saturating_duration_since(since))
}

/// Asserts that streams end within a second of the acknowledgement. A busy machine may exceed that
/// now and then, so the median counts.
fn assert_within_a_second(mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let median = delays[delays.len() / 2];
    assert!(median < SECOND, "{median:?} after the acknowledgement: {delays:?}");
}

async fn start(server: &Server, count: usize, sessions: &Sessions) -> Vec<Process> {
    join_all((0..count).map(|_| Process::start(server, sessions.clone()))).await
}

/// Closes again until the broker acknowledges.
async fn close(process: &Process, subject: &str) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = process.streams.close(subject).await {
        assert!(Instant::now() < deadline, "{error:?}");
    }
    Instant::now()
}

#[tokio::test]
async fn close_ends_the_streams_of_all_processes_within_a_second() {
    let Some(server) = Server::start().await else { return };
    let processes = start(&server, 3, &Sessions::default()).await;
    let others = open_each(&processes, "other").await;
    let mut delays = Vec::new();
    for round in 0..20 {
        let open = open_each(&processes, "user").await;
        let acknowledged = close(&processes[round % 3], "user").await;
        delays.push(assert_ended(open, acknowledged).await);
    }
    assert_within_a_second(delays);
    assert!(others.iter().all(|stream| !stream.is_finished()), "innocent streams stay");
    let open = open_each(&processes, "user").await;
    processes[0].streams.close_except("everyone", "user").await.unwrap();
    assert_ended(others, Instant::now()).await;
    assert!(open.iter().all(|stream| !stream.is_finished()));
}

/// A client's session is checked in one process while it is logged out in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_that_races_with_a_close_elsewhere_leaves_no_stream_open() {
    let races = env::var("TOWER_SSE_RACES").map_or(300, |races| races.parse().unwrap());
    let Some(server) = Server::start().await else { return };
    let sessions = Sessions::default();
    let processes = start(&server, 2, &sessions).await;
    let (mut opened, mut refused) = (0, 0);
    let mut delays = Vec::new();
    for race in 0..races {
        let session = format!("session:{race}");
        let (address, path) = (processes[race % 2].address, format!("/{session}"));
        let response = tokio::spawn(async move {
            let (head, body) = client::get(address, &path, &[]).await.into_parts();
            body.collect().await.unwrap();
            head.status
        });
        if race % 3 > 0 {
            sessions.checked.notified().await;
        }
        for _ in 0..race % 7 {
            yield_now().await;
        }
        sessions.logged_out.lock().unwrap().insert(session.clone());
        let acknowledged = close(&processes[(race + 1) % 2], &session).await;
        let ended = timeout(PATIENCE, response).await;
        let status = ended.unwrap_or_else(|_| panic!("race {race}: open")).unwrap();
        delays.push(acknowledged.elapsed());
        match status {
            StatusCode::OK => opened += 1,
            StatusCode::UNAUTHORIZED => refused += 1,
            status => panic!("{status}"),
        }
        if race % 3 == 0 {
            sessions.checked.notified().await;
        }
    }
    assert_within_a_second(delays);
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}
