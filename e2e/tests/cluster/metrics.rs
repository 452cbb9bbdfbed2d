//! The example `metrics` with a Redis: the readiness probe and the metrics of the hub.

use std::{collections::BTreeSet, net::SocketAddr};

use http::StatusCode;
use http_body_util::BodyExt;
use tower_sse::{hub::Hub, redis::RedisHealth};

use crate::*;

#[path = "../../../examples/metrics/main.rs"]
#[allow(dead_code)]
mod example;

async fn connect(server: &Server) -> (Hub, RedisHealth) {
    let redis = server.broker();
    let health = redis.health();
    (Hub::connect(redis).await.unwrap(), health)
}

async fn scrape(address: SocketAddr) -> String {
    let response = client::get(address, "/metrics", &[]).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test]
async fn process_is_ready_while_it_follows_redis() {
    let Some(mut server) = Server::start().await else { return };
    let (hub, health) = connect(&server).await;
    let address = serve_axum(example::app(hub.clone(), Some(health), 10)).await;
    let is = async |status| client::get(address, "/ready", &[]).await.status() == status;
    assert!(is(StatusCode::OK).await);
    let mut news = EventReader::new(client::get(address, "/news", &[]).await);
    _ = hub.publish("news", "one").await.unwrap();
    assert_eq!(news.next().await.unwrap().data, "one");
    let following = scrape(address).await;
    assert!(following.contains("\nsse_redis_following 1\n"), "{following}");
    assert!(following.contains("\nsse_redis_losses_total 0\n"), "{following}");
    assert!(following.contains("\nsse_redis_foreign_entries_total 0\n"), "{following}");
    assert!(following.contains("\n# UNIT sse_hub_lag_seconds seconds\n"), "{following}");
    assert!(following.contains("_total{outcome=\"acknowledged\"} 1\n"), "{following}");
    assert!(following.contains("\nsse_redis_publish_latency_seconds_count 1\n"), "{following}");
    assert!(following.contains("_bucket{le=\"+Inf\"} 1\n"), "{following}");

    server.kill();
    until_async(async || is(StatusCode::SERVICE_UNAVAILABLE).await).await;
    assert!(scrape(address).await.contains("\nsse_redis_following 0\n"));

    // It has lost the event that the client has seen.
    server.restart().await;
    until_async(async || is(StatusCode::OK).await).await;
    assert_eq!(news.next().await.unwrap().event, "gap");
    _ = hub.publish("news", "two").await.unwrap();
    assert_eq!(news.next().await.unwrap().data, "two");
    let returned = scrape(address).await;
    assert!(returned.contains("\nsse_redis_losses_total 1\n"), "{returned}");
    assert!(returned.contains("\nsse_redis_reconnections_total 1\n"), "{returned}");
    assert!(returned.contains("\nsse_hub_gaps_total 1\n"), "{returned}");
}

/// Returns the names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("sse_")).collect()
}

#[tokio::test]
async fn dashboard_and_documentation_name_the_metrics_that_are_served() {
    let Some(server) = Server::start().await else { return };
    let (hub, health) = connect(&server).await;
    until(|| health.stream().is_some()).await;
    let address = serve_axum(example::app(hub, Some(health), 10)).await;
    let scraped = scrape(address).await;
    let served = metrics_in(&scraped);
    let dashboard = include_str!("../../../examples/metrics/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let page = include_str!("../../../src/redis/running.rs");
    for (named, least) in [(dashboard.to_string(), 17), (page.to_owned(), 14)] {
        let named = metrics_in(&named);
        let missing: Vec<_> = named.difference(&served).collect();
        assert!(missing.is_empty() && named.len() >= least, "{} {missing:?}", named.len());
    }
    // Each figure of Redis that is served is explained.
    let explained = metrics_in(page);
    let families = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE sse_redis_"));
    for family in families.map(|line| line.split(' ').next().unwrap()) {
        let is_explained = |name: &&str| {
            let name = name.strip_prefix("sse_redis_");
            name.is_some_and(|name| name.strip_suffix("_total").unwrap_or(name) == family)
        };
        assert!(explained.iter().any(is_explained), "{family}");
    }
}
