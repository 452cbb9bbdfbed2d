//! The example `metrics`, with a Redis server.

use std::collections::BTreeSet;

use tower_sse::{runs::Runs, stats::Stats, streams::Streams};

use super::server::Server;
use crate::*;

/// Starts the example and waits until it serves the metrics of the hub's stream in Redis.
async fn start(server: &Server) -> Process {
    let mut command = Command::new(example_program("metrics"));
    let example = serve(command.env("REDIS_URL", server.url())).await;
    until_async(async || scrape(&example).await.contains("\nsse_redis_stream_entries ")).await;
    example
}

async fn get(example: &Process, path: &str) -> (StatusCode, String) {
    let response = client::get(example.address, path, &[]).await;
    let status = response.status();
    let text = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

async fn scrape(example: &Process) -> String {
    get(example, "/metrics").await.1
}

fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("sse_")).collect()
}

/// Returns the docs of the statistics of `tower-sse`, whose `prometheus` methods write metrics.
fn docs_of_statistics() -> String {
    let files = [
        include_str!("../../../src/stats.rs"),
        include_str!("../../../src/hub/stats.rs"),
        include_str!("../../../src/runs/stats.rs"),
        include_str!("../../../src/streams/streams.rs"),
    ];
    files.iter().flat_map(|file| file.lines()).filter(|line| line.contains("///")).collect()
}

#[tokio::test]
async fn dashboard_and_documentation_name_the_metrics_that_are_served() {
    let Some(server) = Server::start().await else { return };
    let example = start(&server).await;
    // The buckets of a histogram are served once there is a stream that has closed.
    read_answer(&example).await;
    let scraped = scrape(&example).await;

    let served = metrics_in(&scraped);
    let dashboard = include_str!("../../../crates/tower-sse-redis/examples/metrics/grafana.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let page = include_str!("../../../docs/guide/observing.md");
    let (page, _) = page.split_once("\n# The time to the first event\n").unwrap();
    let streams = Streams::builder().limit("ip:", 1).build();
    let (stats, hub) = (Stats::new().snapshot().prometheus(), Hub::new().stats().prometheus());
    let (streams, runs) = (streams.stats().prometheus(), Runs::new().stats().prometheus());
    let displayed = format!("{stats}{hub}{streams}{runs}");
    let docs = docs_of_statistics();
    let running = include_str!("../../../crates/tower-sse-redis/docs/running.md");
    let named = [
        (dashboard.to_string(), 30),
        (page.to_owned(), 20),
        (docs.clone(), 31),
        (running.to_owned(), 10),
        (displayed, 28),
    ];
    for (named, least) in named {
        let named = metrics_in(&named);
        let missing: Vec<_> = named.difference(&served).collect();
        assert!(missing.is_empty() && named.len() >= least, "{} {missing:?}", named.len());
    }
    // Each metric that is served is explained.
    let explained =
        [page, docs.as_str(), running].into_iter().flat_map(metrics_in).collect::<BTreeSet<_>>();
    let families = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families.map(|line| line.split(' ').next().unwrap()) {
        // prometheus-client's `# TYPE` lines leave out a counter's suffix.
        let is_explained = |name: &&str| [family, &format!("{family}_total")].contains(name);
        assert!(explained.iter().any(is_explained), "{family}");
    }
}

/// Reads an answer to its end and waits until its stream has closed and its run has ended.
async fn read_answer(example: &Process) {
    let answer = client::post(example.address, "/answers/1", &[], "").await;
    assert!(EventReader::new(answer).rest().await.len() > 5);
    until_async(async || {
        let scraped = scrape(example).await;
        scraped.contains("\nsse_streams_open 0\n") && scraped.contains("\nsse_runs_running 0\n")
    })
    .await;
}

#[tokio::test]
async fn metrics_of_routes_runs_and_limits_count_what_clients_do() {
    let Some(server) = Server::start().await else { return };
    let example = start(&server).await;
    assert_eq!(get(&example, "/redis").await, (StatusCode::OK, String::new()));
    read_answer(&example).await;
    post(example.address, "/news", "something happened").await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = open(example.address, "/news", "").await;
        assert_eq!(reader.next().await.unwrap().data, "something happened");
        readers.push(reader);
    }
    assert_eq!(get(&example, "/news").await.0, StatusCode::TOO_MANY_REQUESTS);
    let scraped = scrape(&example).await;
    for line in [
        "sse_label_streams_open{label=\"/news\"} 100",
        "sse_label_streams_opened_total{label=\"/answers/{turn}\"} 1",
        "sse_first_event_seconds_count{label=\"/answers/{turn}\"} 1",
        "sse_streams_limited_total{prefix=\"ip:\"} 1",
        "sse_streams_refused_total 1",
        "sse_publishes_total{outcome=\"acknowledged\"} 1",
        "sse_runs_ended_total{outcome=\"completed\"} 1",
        "sse_runs_started_total 1",
        "sse_redis_ready{connection=\"hub\"} 1",
        "sse_redis_ready{connection=\"runs\"} 1",
        "sse_redis_evicts{connection=\"runs\"} 0",
    ] {
        assert!(scraped.lines().any(|found| found == line), "{line} is not in {scraped}");
    }
}
