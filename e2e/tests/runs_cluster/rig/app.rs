//! The service that each process runs.

use async_stream::stream;
use axum::extract::{Path, Query, State};
use axum::{Router, body::Body, response::IntoResponse, routing::post};
use serde::Deserialize;

use super::*;

/// The data of the event that ends a complete answer.
pub(crate) const DONE: &str = "[DONE]";

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) events: u64,
    /// The time before each event, in milliseconds.
    pub(crate) gap: u64,
}

#[derive(Clone)]
pub(crate) struct Service {
    runs: Runs,
    /// The directory with a file for each run, to which each call of the handler `turn` adds a
    /// line.
    calls: Arc<PathBuf>,
}

impl Service {
    pub(crate) fn new(runs: Runs, calls: PathBuf) -> Self {
        Self { runs, calls: Arc::new(calls) }
    }

    pub(crate) fn app(self, shutdown: CancellationToken) -> Router {
        let layer = SseLayer::new()
            .heartbeat(Heartbeat::every(Duration::from_millis(500)))
            .terminator(Event::from(DONE))
            .shutdown(shutdown);
        Router::new()
            .route("/turn/{name}", post(turn).delete(stop))
            .layer(self.runs.layer(key_of_turn))
            .layer(layer)
            .with_state(self)
    }
}

fn numbers(Answer { events, gap }: Answer) -> impl Stream<Item = Event> + Send {
    stream! {
        for number in 1..=events {
            if gap > 0 {
                sleep(Duration::from_millis(gap)).await;
            }
            yield Event::from(number.to_string());
        }
    }
}

fn key_of_turn(request: &Request<Body>) -> Option<Result<RunKey, InvalidKey>> {
    (request.method() == Method::POST).then(|| key_of(request.uri()))
}

fn key_of(uri: &Uri) -> Result<RunKey, InvalidKey> {
    RunKey::new("ann", uri.path())
}

async fn stop(State(service): State<Service>, uri: Uri) -> String {
    let key = key_of(&uri).unwrap();
    service.runs.cancel(&key, None).await.to_string()
}

async fn turn(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(answer): Query<Answer>,
) -> impl IntoResponse {
    // The calls are counted in a file, so that those of a process that is then killed count too.
    let mut file =
        OpenOptions::new().create(true).append(true).open(service.calls.join(name)).unwrap();
    file.write_all(b"call\n").unwrap();
    tower_sse::response(numbers(answer))
}
