//! cargo run --example metrics --all-features
//!
//! curl -N http://127.0.0.1:3000/news
//! curl http://127.0.0.1:3000/news --data 'something happened'
//! curl http://127.0.0.1:3000/metrics
//!
//! Metrics of event streams for Prometheus. The layer's `Stats` are read at each scrape, so a
//! stream has no additional cost; the ages of streams come from `on_close`.
//!
//! Set `PORT` to use another port.

use std::{env, fmt, io, process, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
    serve::ListenerExt,
};
use futures_util::StreamExt;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tower_sse::{Event, SseLayer, Stats};

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
    axum::serve(listener, app(10_000)).await
}

/// Returns the news, for at most `max_streams` readers at a time, and their metrics.
pub(crate) fn app(max_streams: usize) -> Router {
    let (news, _) = broadcast::channel(100);
    let stats = Stats::new();
    let ages = Histogram::new(AGES);
    let metrics = metrics(&stats, &ages);
    let layer = SseLayer::new()
        .max_streams(max_streams)
        .stats(&stats)
        .on_close(move |closed| ages.observe(closed.age().as_secs_f64()));
    Router::new()
        .route("/news", get(listen).post(tell))
        .with_state(news)
        .layer(layer)
        .merge(Router::new().route("/metrics", get(scrape)).with_state(metrics))
}

type News = broadcast::Sender<String>;

async fn tell(State(news): State<News>, text: String) -> StatusCode {
    // It fails if there is no reader, which is not an error of the author.
    _ = news.send(text);
    StatusCode::NO_CONTENT
}

async fn listen(State(news): State<News>) -> impl IntoResponse {
    // A reader that is too slow gets an error, which fails the stream.
    let news = BroadcastStream::new(news.subscribe());
    tower_sse::response(news.map(|text| text.map(Event::from)))
}

/// The upper bounds of the histogram, in seconds. A proxy or client that cuts streams shows as a
/// step: at a minute, five, an hour.
const AGES: [f64; 9] = [1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 86_400.0];

fn metrics(stats: &Stats, ages: &Histogram) -> Arc<Registry> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Streams { stats: stats.clone() }));
    registry.register_with_unit(
        "sse_stream_age",
        "For how long streams were open that have closed",
        Unit::Seconds,
        ages.clone(),
    );
    Arc::new(registry)
}

/// A collector of counters that the layer keeps.
#[derive(Debug)]
struct Streams {
    stats: Stats,
}

impl Collector for Streams {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // One snapshot for all figures, so that they are consistent.
        let now = self.stats.snapshot();

        let open = ConstGauge::new(now.open());
        let help = "Streams that are open.";
        open.encode(encoder.encode_descriptor(
            "sse_streams_open",
            help,
            None,
            open.metric_type(),
        )?)?;

        let help = "Streams that have closed, by reason.";
        let mut closed =
            encoder.encode_descriptor("sse_streams_closed", help, None, MetricType::Counter)?;
        for (reason, count) in now.closed_by_reason() {
            // Include zeros: a counter that appears only with its first count has no rate.
            let labels = [("reason", reason.as_str())];
            ConstCounter::new(count).encode(closed.encode_family(&labels)?)?;
        }

        // The encoder adds `_total`.
        for (name, help, count) in [
            ("sse_streams_opened", "Streams that were opened.", now.opened()),
            ("sse_streams_refused", "Streams that were refused.", now.refused()),
            ("sse_frames", "Frames of data that were sent.", now.frames()),
            ("sse_bytes", "Bytes that were sent.", now.bytes()),
            ("sse_heartbeats", "Frames that were heartbeats.", now.heartbeats()),
        ] {
            let count = ConstCounter::new(count);
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        Ok(())
    }
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
