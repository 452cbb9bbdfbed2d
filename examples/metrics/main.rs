//! cargo run --example metrics --all-features
//!
//! curl -N http://127.0.0.1:3000/news
//! curl http://127.0.0.1:3000/news --data 'something happened'
//! curl http://127.0.0.1:3000/metrics
//! curl http://127.0.0.1:3000/ready
//!
//! Metrics of event streams and of a hub for Prometheus. The layer's `Stats` and the hub's are read
//! at each scrape, so streams and events have no additional cost; the ages of streams come from
//! `on_close`.
//!
//! `grafana.json` is a dashboard for Grafana.
//!
//! With `REDIS_URL` set, processes share the news through Redis. `/ready` is the route of a
//! readiness probe, and answers 503 while the process does not follow the Redis stream.
//!
//! Set `PORT` to use another port.

mod hub_metrics;
mod publish_metrics;
mod redis_metrics;
mod stream_metrics;

use std::{env, process, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
    serve::ListenerExt,
};
use prometheus_client::{
    encoding::text,
    metrics::histogram::Histogram,
    registry::{Registry, Unit},
};
use tokio::net::TcpListener;
use tower_sse::{
    BoxError, LastEventId, SseLayer, Stats,
    hub::Hub,
    redis::{self, Redis, RedisHealth},
};

use self::{
    hub_metrics::HubMetrics, publish_metrics::PublishMetrics, redis_metrics::RedisMetrics,
    stream_metrics::StreamMetrics,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (hub, redis) = connect().await?;
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
    Ok(axum::serve(listener, app(hub, redis, 10_000)).await?)
}

/// Returns the hub, and the state of its connection if it has one.
async fn connect() -> Result<(Hub, Option<RedisMetrics>), redis::Error> {
    let Ok(url) = env::var("REDIS_URL") else { return Ok((Hub::new(), None)) };
    let broker = Redis::open(&url)?.broker("metrics:news");
    let metrics = RedisMetrics { health: broker.health(), stats: broker.stats() };
    Ok((Hub::connect(broker).await?, Some(metrics)))
}

/// Returns the news, for at most `max_streams` readers at a time, and their metrics.
fn app(hub: Hub, redis: Option<RedisMetrics>, max_streams: usize) -> Router {
    let stats = Stats::new();
    let ages = Histogram::new(AGES);
    let mut registry = metrics(&stats, &ages, hub.clone());
    let publishes = PublishMetrics::register(&mut registry);
    let health = redis.as_ref().map(|redis| redis.health.clone());
    if let Some(redis) = redis {
        registry.register_collector(Box::new(redis));
    }
    let metrics = Arc::new(registry);
    let layer = SseLayer::new()
        .max_streams(max_streams)
        .stats(&stats)
        .on_close(move |closed| ages.observe(closed.age().as_secs_f64()));
    Router::new()
        .route("/news", get(listen))
        .with_state(hub.clone())
        .layer(layer)
        .merge(Router::new().route("/news", post(report)).with_state((hub, publishes)))
        .merge(Router::new().route("/metrics", get(scrape)).with_state(metrics))
        .merge(Router::new().route("/ready", get(ready)).with_state(health))
}

async fn report(
    State((hub, publishes)): State<(Hub, PublishMetrics)>,
    text: String,
) -> Result<StatusCode, (StatusCode, String)> {
    match publishes.observe(hub.publish("news", text)).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

async fn listen(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

/// Answers a readiness probe. Let it fail several times in a row before clients are moved: other
/// processes have lost the same Redis, and streams here catch up by themselves.
async fn ready(State(health): State<Option<RedisHealth>>) -> (StatusCode, String) {
    match health {
        Some(health) if !health.is_ready() => {
            (StatusCode::SERVICE_UNAVAILABLE, health.last_error().unwrap_or_default())
        }
        _ => (StatusCode::OK, String::new()),
    }
}

/// The upper bounds of the histogram, in seconds. A proxy or client that cuts streams shows as a
/// step at one minute, five minutes or an hour.
const AGES: [f64; 9] = [1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 86_400.0];

fn metrics(stats: &Stats, ages: &Histogram, hub: Hub) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StreamMetrics { stats: stats.clone() }));
    registry.register_collector(Box::new(HubMetrics { hub }));
    registry.register_with_unit(
        "sse_stream_age",
        "For how long streams were open that have closed",
        Unit::Seconds,
        ages.clone(),
    );
    registry
}

async fn scrape(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut metrics = String::new();
    match text::encode(&mut metrics, &registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], metrics)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Prometheus' text format in its standardised form, which Prometheus prefers to the older one.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
