//! The statistics of the stream, the names of connections, and the entries of ends.

use crate::*;

#[tokio::test]
async fn stream_is_measured() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_events(20_000);
    let stats = broker.stats();
    let hub = Hub::builder()
        .retention(Retention::new().age(Duration::from_secs(60)))
        .connect(broker)
        .await
        .unwrap();
    for _ in 0..10 {
        _ = hub.publish("a", "x".repeat(1_000)).await.unwrap();
    }
    // The stream has ten events, and the entry with which it begins.
    until(|| stats.log().is_some_and(|log| log.events == Some(11))).await;
    let log = stats.log().unwrap();
    assert_eq!((log.max_events, log.retention_age), (20_000, Some(Duration::from_secs(60))));
    let bytes = log.bytes.unwrap();
    assert!((10_000..100_000).contains(&bytes), "{bytes}");
    let age = log.oldest_age;
    until(|| stats.log().unwrap().oldest_age >= age + Duration::from_secs(2)).await;

    let (broker, retention) = (server.broker(), Retention::latest());
    let stats = broker.stats();
    let _endless = Hub::builder().retention(retention).connect(broker).await.unwrap();
    until(|| stats.log().is_some()).await;
    assert_eq!(stats.log().unwrap().retention_age, None);
}

#[tokio::test]
async fn connections_are_named_by_key_host_and_process() {
    let Some(server) = Server::start().await else { return };
    let _hub = Hub::connect(server.redis().broker("a key")).await.unwrap();
    let _runs = Runs::connect(server.redis().runs("app")).await.unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let list: String = server.command("CLIENT LIST").await;
    let name = |key| format!(" name={key}:{}:{} ", host.trim(), std::process::id());
    for (name, count) in [(name("a_key"), 2), (name("app"), 2)] {
        assert_eq!(list.lines().filter(|line| line.contains(&*name)).count(), count, "{list}");
    }
}

#[tokio::test]
async fn end_is_one_entry_by_which_later_processes_know_it() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let ends = (0..20).map(|job| {
        let hub = hub.clone();
        async move { hub.end(format!("job:{job}"), "last").await.unwrap() }
    });
    join_all(ends).await;
    // The new stream has its first entry, and one entry for each end.
    assert_eq!(server.length().await, 1 + 20);
    let late = Hub::connect(server.broker()).await.unwrap();
    assert!(matches!(late.publish("job:0", "more").await, Err(PublishError::Ended)));
}
