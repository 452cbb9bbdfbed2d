//! cargo run --example job --all-features
//!
//! Then open http://127.0.0.1:3000 and start a job, or watch one with curl:
//!
//! curl -X POST http://127.0.0.1:3000/jobs
//! curl -N http://127.0.0.1:3000/jobs/1
//!
//! The progress of jobs. Each job has a topic, which ends with the event `done` or `failed`. A page
//! that comes late receives the latest state, and one that reconnects receives what it missed. A
//! job that has ended is answered from the table, and a client that has its last event gets `204`.
//!
//! Set `PORT` to use another port.

use std::{
    collections::HashMap,
    env, io, process,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::stream;
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, LastEventId, SseLayer,
    hub::{Hub, PublishError},
    page,
};

/// The id of a last event that comes from the table of jobs. No event of the hub has it.
const FROM_TABLE: &str = "over";

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let jobs = Jobs::new(Duration::from_millis(500), Hub::new());
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().for_pages().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(jobs, layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn app(jobs: Jobs, layer: SseLayer) -> Router {
    Router::new()
        .route("/jobs", post(start))
        .route("/jobs/{job}", get(progress))
        .layer(layer)
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .with_state(jobs)
}

/// All jobs that were ever started. A real program has them in its database.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) hub: Hub,
    table: Arc<Mutex<HashMap<u64, Status>>>,
    /// The duration of a step.
    step: Duration,
}

#[derive(Clone)]
enum Status {
    Running,
    Ended(Event),
}

impl Jobs {
    pub(crate) fn new(step: Duration, hub: Hub) -> Self {
        Self { hub, table: Arc::default(), step }
    }

    fn add(&self) -> u64 {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let job = table.len() as u64 + 1;
        table.insert(job, Status::Running);
        job
    }

    fn set(&self, job: u64, status: Status) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).insert(job, status);
    }

    fn status(&self, job: u64) -> Option<Status> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned()
    }
}

fn topic(job: u64) -> String {
    format!("job:{job}")
}

#[derive(Deserialize)]
struct Plan {
    /// The percentage at which the job fails.
    fails_at: Option<u32>,
}

async fn start(State(jobs): State<Jobs>, Query(plan): Query<Plan>) -> impl IntoResponse {
    let job = jobs.add();
    tokio::spawn(work(jobs, job, plan));
    (StatusCode::ACCEPTED, job.to_string())
}

async fn work(jobs: Jobs, job: u64, plan: Plan) {
    let mut last = Event::new().event("done").data("the result");
    for percent in (0..100).step_by(10) {
        if plan.fails_at == Some(percent) {
            last = Event::new().event("failed").data("no more paper");
            break;
        }
        // If a broker refuses this event, the next one replaces it.
        _ = jobs.hub.publish(topic(job), percent.to_string()).await;
        sleep(jobs.step).await;
    }
    // First the table, so that no client finds a running job whose topic is gone.
    jobs.set(job, Status::Ended(last.clone()));
    // Nothing replaces the last event, for which clients wait.
    while let Err(error) = jobs.hub.end(topic(job), last.clone()).await {
        eprintln!("job {job}: {error}");
        match error {
            PublishError::Refused(_) | PublishError::Unknown(_) => sleep(jobs.step).await,
            // Another attempt would fail too. The table has the result.
            PublishError::TooLarge(_) => last = Event::new().event("done").data("too large"),
            _ => break,
        }
    }
}

async fn progress(
    State(jobs): State<Jobs>,
    Path(job): Path<u64>,
    last: Option<LastEventId>,
) -> Response {
    let Some(status) = jobs.status(job) else { return StatusCode::NOT_FOUND.into_response() };
    let has_id = last.is_some();
    let is_over = last.as_ref().is_some_and(|last| last.as_str() == FROM_TABLE);
    let progress = jobs.hub.subscribe_to(topic(job)).recent(1).resume(last);
    match status {
        Status::Running => progress.response().into_response(),
        // The client has the last event. After an empty stream, a browser would ask again and
        // again. On a first visit, the hub may have evicted the last event.
        Status::Ended(_) if is_over || (has_id && progress.has_ended()) => {
            StatusCode::NO_CONTENT.into_response()
        }
        // The hub forgets the topic after a time, the table does not.
        Status::Ended(last) => {
            tower_sse::response(stream::iter([last.id(FROM_TABLE)])).into_response()
        }
    }
}
