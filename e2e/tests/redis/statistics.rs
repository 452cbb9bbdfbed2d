//! The statistics of publishing, of the connection and of the stream.

use std::time::Duration;

use tokio::time::{pause, resume, sleep, timeout};
use tower_sse::{
    hub::{Hub, PublishError, Retention},
    runs::Runs,
};

use crate::*;

#[tokio::test]
async fn publishes_are_counted_by_their_outcomes() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().publish_deadline(Duration::from_secs(10));
    let Process { hub, health, .. } = Process::connect(broker).await;
    for _ in 0..3 {
        _ = hub.publish("a", "x").await.unwrap();
    }
    let _: String = server.command("CONFIG SET maxmemory 1").await;
    let refused = hub.publish("a", "x").await.unwrap_err();
    assert!(matches!(refused, PublishError::Refused(_)), "{refused:?}");
    let _: String = server.command("CONFIG SET maxmemory 0").await;
    server.stop();
    // From now on, only time limits end a wait.
    pause();
    let unknown = hub.publish("a", "x").await.unwrap_err();
    assert!(matches!(unknown, PublishError::Unknown(_)), "{unknown:?}");
    // A publisher that stops waiting.
    timeout(Duration::from_millis(50), hub.publish("a", "x")).await.unwrap_err();
    resume();
    server.resume();

    let stats = health.publishes();
    assert_eq!((stats.acknowledged(), stats.refused(), stats.unknown()), (3, 1, 2));
    assert_eq!(stats.latencies().map(|(_, count)| count).sum::<u64>(), 3);
    // The replies of a server on this machine, and none of the waits above.
    assert!(stats.latency_sum() > Duration::ZERO);
    assert!(stats.latency_sum() < Duration::from_secs(10), "{stats:?}");
}

#[tokio::test]
async fn latency_is_the_time_until_the_acknowledgement() {
    let Some(server) = Server::start().await else { return };
    let process = Process::connect(server.broker()).await;
    server.stop();
    pause();
    let continuing = async {
        sleep(Duration::from_millis(300)).await;
        resume();
        server.resume();
    };
    tokio::join!(process.publish([0]), continuing).0.unwrap();
    let stats = process.health.publishes();
    let slow: u64 = stats
        .latencies()
        .filter(|(bound, _)| *bound > Duration::from_millis(250))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(slow, 1, "{stats:?}");
    assert!(stats.latency_sum() >= Duration::from_millis(300), "{stats:?}");
}

#[tokio::test]
async fn reconnections_are_counted() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let process = Process::connect(proxy.broker()).await;
    let broker = proxy.broker().key("app");
    let runs_health = broker.health();
    let _runs = Runs::connect(broker).await.unwrap();
    assert_eq!([process.health.reconnections(), runs_health.reconnections()], [0; 2]);
    for times in 1..=2 {
        proxy.switch_to(server.port());
        until(|| process.health.reconnections() == times).await;
        until(|| runs_health.reconnections() == times).await;
    }
}

#[tokio::test]
async fn stream_is_measured() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_len(20_000);
    let health = broker.health();
    let hub = Hub::builder()
        .retention(Retention::new().age(Duration::from_secs(60)))
        .connect(broker)
        .await
        .unwrap();
    for _ in 0..10 {
        _ = hub.publish("a", "x".repeat(1_000)).await.unwrap();
    }
    // And the marker with which the stream begins.
    until(|| health.stream().is_some_and(|stream| stream.entries() == 11)).await;
    let stream = health.stream().unwrap();
    assert_eq!((stream.max_len(), stream.retain_for()), (20_000, Duration::from_secs(60)));
    let memory = stream.memory().unwrap();
    assert!((10_000..100_000).contains(&memory), "{memory}");
    let age = stream.oldest_age();
    until(|| health.stream().unwrap().oldest_age() >= age + Duration::from_secs(2)).await;
}

#[tokio::test]
async fn policy_that_evicts_the_stream_is_reported() {
    let Some(server) = Server::start().await else { return };
    for (memory, policy, evicts) in [
        ("0", "allkeys-lru", false),
        ("1gb", "allkeys-lru", true),
        ("1gb", "volatile-lru", false),
        ("1gb", "noeviction", false),
    ] {
        let _: String = server.command(&format!("CONFIG SET maxmemory {memory}")).await;
        let _: String = server.command(&format!("CONFIG SET maxmemory-policy {policy}")).await;
        let process = Process::connect(server.broker()).await;
        assert_eq!(process.health.evicts(), evicts, "{memory} {policy}");
    }
}

#[tokio::test]
async fn connections_are_named_by_key_host_and_process() {
    let Some(server) = Server::start().await else { return };
    let _hub = Hub::connect(server.broker().key("a key")).await.unwrap();
    let _runs = Runs::connect(server.broker().key("app")).await.unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let list: String = server.command("CLIENT LIST").await;
    for (key, count) in [("a_key", 2), ("app", 3)] {
        let name = format!(" name={key}:{}:{} ", host.trim(), std::process::id());
        assert_eq!(list.lines().filter(|line| line.contains(&name)).count(), count, "{list}");
    }
}
