//! cargo run --package tower-sse-redis --example metrics --all-features
//!
//! curl -N http://127.0.0.1:3000/news
//! curl http://127.0.0.1:3000/news --data 'something happened'
//! curl -N http://127.0.0.1:3000/answers/1 --data ''
//! curl http://127.0.0.1:3000/metrics
//! curl http://127.0.0.1:3000/redis
//!
//! Metrics of event streams, a hub and runs for Prometheus. At each scrape, `prometheus` writes the
//! statistics of streams, limits, the hub and runs in Prometheus' format. A registry holds the
//! other metrics: the streams' ages and times to first event (from `on_close`), the outcomes and
//! latencies of `publish`, and the statistics of Redis.
//!
//! The guide's page `observing` says what to look at and what to alert on. The docs of
//! `StatsSnapshot`, `HubStats`, `RunsStats` and `StreamsStats` explain their metrics. The page
//! `running` of `tower-sse-redis` explains those of Redis. `grafana.json` is a dashboard.
//!
//! With `REDIS_URL` set, processes share the news and the answers through Redis. While the hub or
//! the runs aren't ready, `/redis` answers 503 with the error. It is for monitoring, not for a load
//! balancer's probe: a short outage of Redis would take all processes out of service.
//!
//! Set `PORT` to use another port.

mod close_metrics;
mod encode;
mod publish_metrics;
mod redis_metrics;
mod routes;

use std::{env, net::SocketAddr, process, sync::Arc, time::Duration};

use axum::routing::{get, post};
use axum::{Router, extract::Request, middleware::from_fn, serve::ListenerExt};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::runs::{RunKey, Runs};
use tower_sse::{BoxError, SseLayer, hub::Hub, stats::Stats, streams::Streams};
use tower_sse_redis::Redis;

use self::{close_metrics::CloseMetrics, publish_metrics::PublishMetrics};
use self::{redis_metrics::RedisMetrics, routes::Metrics};

const MAX_STREAMS: usize = 10_000;
const MAX_STREAMS_PER_ADDRESS: usize = 100;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let shutdown = CancellationToken::new();
    let app = connect(shutdown.clone()).await?;
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
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

/// Connects the hub and the runs to Redis if `REDIS_URL` is set.
async fn connect(shutdown: CancellationToken) -> Result<Router, BoxError> {
    let Ok(url) = env::var("REDIS_URL") else {
        return Ok(app(Hub::new(), Runs::new(), None, shutdown));
    };
    let redis = Redis::open(&url)?;
    let (broker, store) = (redis.broker("metrics:news"), redis.runs("metrics"));
    let metrics = RedisMetrics {
        hub: broker.health(),
        runs: store.health(),
        hub_stats: broker.stats(),
        runs_stats: store.stats(),
    };
    let hub = Hub::connect(broker).await?;
    Ok(app(hub, Runs::builder().connect(store).await?, Some(metrics), shutdown))
}

/// Returns the routes for the news, the answers, the metrics and the state of Redis.
fn app(hub: Hub, runs: Runs, redis: Option<RedisMetrics>, shutdown: CancellationToken) -> Router {
    // Without an owner, because these answers are public.
    let key = |request: &Request| Some(RunKey::shared(request.uri().path()));
    let answers = post(routes::answer).layer(runs.layer(key));
    let stats = Stats::new();
    let streams = Streams::builder().limit("ip:", MAX_STREAMS_PER_ADDRESS).build();
    let mut registry = Registry::default();
    let closes = CloseMetrics::register(&mut registry);
    let publishes = PublishMetrics::register(&mut registry);
    if let Some(redis) = redis.clone() {
        registry.register_collector(Box::new(redis));
    }
    let layer = SseLayer::new()
        .shutdown(shutdown)
        .max_streams(MAX_STREAMS)
        .streams(&streams)
        .stats(&stats)
        .label(routes::route)
        .timings(true)
        .on_close(move |report| closes.observe(report));
    let metrics = Arc::new(Metrics { stats, streams, hub: hub.clone(), runs, registry });
    Router::new()
        .route("/news", get(routes::listen))
        .with_state(hub.clone())
        .route("/answers/{turn}", answers)
        .layer(from_fn(routes::name_address))
        .layer(layer)
        .merge(Router::new().route("/news", post(routes::report)).with_state((hub, publishes)))
        .merge(Router::new().route("/metrics", get(routes::scrape)).with_state(metrics))
        .merge(Router::new().route("/redis", get(routes::redis)).with_state(redis))
}
