//! The service of the server process.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router, body::Body, response::IntoResponse};
use tokio_stream::wrappers::IntervalStream;

use crate::*;

#[derive(Clone)]
pub(crate) struct Service {
    plan: Arc<Plan>,
    hub: Hub,
    losses: BrokerStats,
    runs: Runs,
    stats: Stats,
    reports: Arc<Mutex<(u64, BTreeMap<String, u64>)>>,
    shutdown: CancellationToken,
}

impl Service {
    pub(crate) async fn connect(redis: &str, plan: Plan) -> Self {
        let broker = Redis::open(redis).unwrap().broker("tower-sse");
        let losses = broker.stats();
        let hub = Hub::builder()
            .retention(Retention::new().age(plan.retention))
            .connect(broker)
            .await
            .unwrap();
        // Runs whose clients have left go on until they are abandoned.
        let runs = Runs::builder()
            .retain_bytes(256 << 10)
            .retain_for(plan.retention)
            .abandon_after(plan.abandon_after)
            .build();
        Self {
            plan: Arc::new(plan),
            hub,
            losses,
            runs,
            stats: Stats::new(),
            reports: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }

    pub(crate) fn app(self) -> Router {
        let (opened, closed) = (Arc::clone(&self.reports), Arc::clone(&self.reports));
        let layer = SseLayer::new()
            .max_streams(self.plan.max_streams())
            .stats(&self.stats)
            .on_open(move || opened.lock().unwrap().0 += 1)
            .on_close(move |report| {
                let reason = report.reason.to_string();
                *closed.lock().unwrap().1.entry(reason).or_default() += 1;
            })
            .shutdown(self.shutdown.clone())
            .drain(Drain::at_once());
        let key = |request: &Request<Body>| Some(RunKey::shared(request.uri().path()));
        let runs = Router::new().route("/runs/{number}", post(run)).layer(self.runs.layer(key));
        Router::new()
            .route("/events/{topics}", get(events))
            .merge(runs)
            .layer(layer)
            .route("/publish/{topic}", post(publish))
            .route("/figures", get(async |State(it): State<Self>| Json(it.figures())))
            .route("/drain", post(async |State(it): State<Self>| it.shutdown.cancel()))
            .with_state(self)
    }

    fn figures(&self) -> Figures {
        let (stats, hub, runs) = (self.stats.snapshot(), self.hub.stats(), self.runs.stats());
        let (reported_opened, reported_closed) = self.reports.lock().unwrap().clone();
        let ended = runs.ended_by_outcome();
        let closed = stats.closed_by_reason.into_iter().filter(|(_, count)| *count > 0);
        Figures {
            memory: account::memory(),
            descriptors: account::descriptors(),
            tasks: Handle::current().metrics().num_alive_tasks() as u64,
            open: stats.open,
            opened: stats.opened,
            refused: stats.refused,
            closed: closed.map(|(reason, count)| (reason.to_string(), count)).collect(),
            reported_opened,
            reported_closed,
            topics: hub.topics as u64,
            events: hub.events as u64,
            subscribers: hub.subscribers as u64,
            gaps: hub.gaps,
            losses: self.losses.losses(),
            running: runs.running as u64,
            kept: runs.kept as u64,
            attached: runs.attached as u64,
            started: runs.started,
            lagged: runs.lagged,
            ended: ended.map(|(outcome, count)| (outcome.to_string(), count)).collect(),
        }
    }
}

async fn events(
    State(service): State<Service>,
    Path(topics): Path<String>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    tower_sse::response(service.hub.subscribe(topics.split(',')).resume(last))
}

async fn run(State(service): State<Service>) -> impl IntoResponse {
    let words = stream::iter(0..EVENTS).zip(IntervalStream::new(interval(service.plan.step)));
    tower_sse::response(words.map(|(number, _)| Event::new().data(number.to_string())))
}

/// Answers whether the event was acknowledged: it may not be while Redis restarts.
async fn publish(
    State(service): State<Service>,
    Path(topic): Path<String>,
    text: String,
) -> Json<bool> {
    Json(service.hub.publish(topic, text).await.is_ok())
}
