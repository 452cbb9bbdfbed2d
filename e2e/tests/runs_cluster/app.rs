//! The service that each process runs.

use std::{fs::OpenOptions, io::Write, path::PathBuf, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::Stream;
use http::{Request, StatusCode, request::Parts};
use serde::Deserialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, Heartbeat, LastEventId, SseLayer,
    runs::{InvalidKey, RunKey, Runs},
};

/// The data of the event that ends a complete answer.
pub(crate) const DONE: &str = "[DONE]";

/// What a request asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Answer {
    /// The number of events. With 0, the answer is no event stream.
    pub(crate) events: u64,
    /// The time between two, in milliseconds.
    pub(crate) gap: u64,
}

#[derive(Clone)]
pub(crate) struct Service {
    runs: Runs,
    /// The directory with a file for each name, to which each call adds a line.
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
            .route("/turn/{name}", post(turn))
            .layer(self.runs.layer(key_of_turn))
            .route("/chat/{name}", get(resume).post(ask).delete(stop))
            .layer(layer)
            .route(
                "/running",
                get(async |State(it): State<Self>| it.runs.stats().running().to_string()),
            )
            .with_state(self)
    }

    fn answer(&self, name: &str, answer: Answer) -> Response {
        // Each call is counted, also by a process that is then killed.
        let mut file =
            OpenOptions::new().create(true).append(true).open(self.calls.join(name)).unwrap();
        file.write_all(b"call\n").unwrap();
        match answer.events {
            0 => StatusCode::IM_A_TEAPOT.into_response(),
            _ => tower_sse::response(numbers(answer)).into_response(),
        }
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
    Some(RunKey::new("ann", request.uri().path()))
}

fn key_of_chat(name: &str) -> RunKey {
    RunKey::new("ann", format!("chat {name}")).unwrap()
}

async fn turn(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(answer): Query<Answer>,
) -> Response {
    service.answer(&name, answer)
}

async fn ask(
    State(service): State<Service>,
    Path(name): Path<String>,
    Query(answer): Query<Answer>,
    parts: Parts,
) -> Response {
    let start = || {
        _ = service.answer(&name, answer);
        numbers(answer)
    };
    match service.runs.replace(&key_of_chat(&name), &parts, start).await {
        Ok(run) => run.answer(&parts).await.into_response(),
        Err(error) => error.answer(&parts).into_response(),
    }
}

async fn resume(
    State(service): State<Service>,
    Path(name): Path<String>,
    parts: Parts,
) -> Response {
    match service.runs.answer(&key_of_chat(&name), &parts).await {
        Some(answer) => answer.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn stop(
    State(service): State<Service>,
    Path(name): Path<String>,
    last: Option<LastEventId>,
) -> StatusCode {
    match service.runs.cancel(&key_of_chat(&name), last).await {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}
