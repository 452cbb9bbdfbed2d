//! cargo run --example job --all-features
//!
//! Then open http://127.0.0.1:3000 and start a job, or watch one with curl:
//!
//! curl -X POST http://127.0.0.1:3000/jobs
//! curl -N http://127.0.0.1:3000/jobs/1
//!
//! The progress of jobs. Each job has a topic, which ends with the event `done` or `failed`. A page
//! that comes late receives the latest state, and one that reconnects receives what it missed. After
//! the end it does not reconnect, because the server answers `204`. Once the hub has forgotten the
//! topic, a client gets the last event from the table, and then `204`.
//!
//! Set `PORT` to use another port.

use std::{
    collections::HashMap,
    env, io, process,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::stream;
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{
    Event, LastEventId, SseLayer,
    hub::{Hub, PublishError},
};

/// The time for which the hub keeps the events of a job.
const RETAINED: Duration = Duration::from_secs(3600);
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
    // Events are small packets: Nagle's algorithm would delay each one until the client's ACK.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let jobs = Jobs::new(Duration::from_millis(500), RETAINED);
    axum::serve(listener, app(jobs, SseLayer::new())).await
}

pub(crate) fn app(jobs: Jobs, layer: SseLayer) -> Router {
    Router::new()
        .route("/jobs", post(start))
        .route("/jobs/{job}", get(progress))
        .layer(layer)
        .route("/", get(Html(include_str!("page.html"))))
        .with_state(jobs)
}

/// All jobs that were ever started. A real program has them in its database.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) hub: Hub,
    table: Arc<Mutex<HashMap<u64, Status>>>,
    /// The duration of a step.
    step: Duration,
    /// The time for which the hub keeps the events of a job.
    retained: Duration,
}

#[derive(Clone)]
enum Status {
    Running,
    Ended { at: Instant, last: Event },
}

impl Jobs {
    pub(crate) fn new(step: Duration, retained: Duration) -> Self {
        let hub = Hub::builder().retain_for(retained).build();
        Self { hub, table: Arc::default(), step, retained }
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
    tokio::spawn(async move {
        if let Err(error) = work(&jobs, job, &plan).await {
            eprintln!("job {job}: {error}");
        }
    });
    (StatusCode::ACCEPTED, job.to_string())
}

async fn work(jobs: &Jobs, job: u64, plan: &Plan) -> Result<(), PublishError> {
    let mut last = Event::new().event("done").data("the result");
    for percent in (0..100).step_by(10) {
        if plan.fails_at == Some(percent) {
            last = Event::new().event("failed").data("no more paper");
            break;
        }
        jobs.hub.publish(topic(job), percent.to_string()).await?;
        sleep(jobs.step).await;
    }
    // First the table, so that no client finds a running job whose topic is gone.
    jobs.set(job, Status::Ended { at: Instant::now(), last: last.clone() });
    jobs.hub.end(topic(job), last).await?;
    Ok(())
}

async fn progress(
    State(jobs): State<Jobs>,
    Path(job): Path<u64>,
    last: Option<LastEventId>,
) -> Response {
    match jobs.status(job) {
        None => StatusCode::NOT_FOUND.into_response(),
        // The hub has forgotten the topic. Without an id, a browser would ask again and again.
        Some(Status::Ended { at, last: event }) if at.elapsed() >= jobs.retained => {
            if last.is_some_and(|last| last.as_str() == FROM_TABLE) {
                return StatusCode::NO_CONTENT.into_response();
            }
            tower_sse::response(stream::iter([event.id(FROM_TABLE)])).into_response()
        }
        Some(Status::Running | Status::Ended { .. }) => {
            jobs.hub.subscribe_to(topic(job)).recent(1).resume(last).response().into_response()
        }
    }
}
