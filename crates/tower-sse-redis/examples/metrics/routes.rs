use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{http::request::Parts, middleware::Next};
use futures_util::{StreamExt, stream};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::time::sleep;
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{Event, LastEventId, hub::Hub, runs::Runs, stats::Stats};

use super::{publish_metrics::PublishMetrics, redis_metrics::RedisMetrics};

/// The answer to every question.
const ANSWER: &str = "A run is one answer that belongs to no connection.";
/// The time between two words of the answer.
const PACE: Duration = Duration::from_millis(120);
/// Prometheus' text format. Prometheus reads the OpenMetrics lines that the registry adds, such as
/// units, as comments.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The sources of the metrics.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) stats: Stats,
    pub(super) streams: Streams,
    pub(super) hub: Hub,
    pub(super) runs: Runs,
    pub(super) registry: Registry,
}

pub(super) async fn listen(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").recent(1).resume(last).response()
}

pub(super) async fn report(
    State((hub, publishes)): State<(Hub, PublishMetrics)>,
    text: String,
) -> Result<StatusCode, (StatusCode, String)> {
    match publishes.observe(hub.publish("news", text)).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

/// Answers word by word. Called once for each answer: further clients attach to the answer's run.
pub(super) async fn answer() -> impl IntoResponse {
    tower_sse::response(stream::iter(ANSWER.split_inclusive(' ')).then(async |word| {
        sleep(PACE).await;
        Event::from(word)
    }))
}

/// Returns the label of a request's stream: the route's path, not the request's, which clients
/// choose.
pub(super) fn route(parts: &Parts) -> String {
    parts.extensions.get().map_or("other", MatchedPath::as_str).to_owned()
}

/// Names the client's address, so that its number of streams is limited. Behind a proxy, take the
/// address from the header that your own proxy sets.
pub(super) async fn name_address(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    subjects: Subjects,
    request: Request,
    next: Next,
) -> Response {
    subjects.add(format!("ip:{}", client.ip()));
    next.run(request).await
}

/// Reports an outage of Redis, for monitoring.
pub(super) async fn redis(State(redis): State<Option<RedisMetrics>>) -> (StatusCode, String) {
    match redis.and_then(|redis| redis.outage()) {
        Some(outage) => (StatusCode::SERVICE_UNAVAILABLE, outage),
        None => (StatusCode::OK, String::new()),
    }
}

pub(super) async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let Metrics { stats, streams, hub, runs, registry } = &*metrics;
    let (stats, streams) = (stats.snapshot().prometheus(), streams.stats().prometheus());
    let (hub, runs) = (hub.stats().prometheus(), runs.stats().prometheus());
    let mut text = format!("{stats}{streams}{hub}{runs}");
    match text::encode(&mut text, registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, PROMETHEUS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
