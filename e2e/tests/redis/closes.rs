//! Closing a subject's streams in several processes, which serve the streams over sockets. The
//! tests of closes during losses and pauses are in `tests/hub/closes.rs`.

use std::time::Instant;

use axum::{extract::Path, response::Response, routing::get};

use super::support::{SECOND, client, serve_axum};
use crate::*;

/// A process that can close the streams of a subject in all processes.
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
}

/// Asserts that the median of the delays after the acknowledgement is below a second. On a busy
/// machine, some streams end later.
fn assert_within_a_second(mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let median = delays[delays.len() / 2];
    assert!(median < SECOND, "{median:?} after the acknowledgement: {delays:?}");
}

async fn start(server: &Server, count: usize, sessions: &Sessions) -> Vec<Process> {
    join_all((0..count).map(|_| Process::start(server, sessions.clone()))).await
}

/// Repeats the close until the broker acknowledges it.
async fn close(process: &Process, subject: &str) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = process.streams.close(subject).await {
        assert!(Instant::now() < deadline, "{error:?}");
    }
    Instant::now()
}

/// A session is checked in one process while it is logged out in the other.
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
