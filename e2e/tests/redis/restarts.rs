//! Redis is killed and restarts with an older state, or its stream has a marker, which is an entry
//! that reports such a loss. `storm.rs` tests the other states.

use crate::*;

/// Only `ahead` has read the events after the snapshot. So `ahead` detects the loss and adds a
/// marker, which `behind` reads.
#[tokio::test]
async fn rollback_is_one_gap_in_each_process() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish(1..6).await;
    let _: String = pair.server.command("SAVE").await;
    _ = pair.ahead.publish_and_read(6..10).await;
    pair.restart_server().await;
    pair.are_following().await;
    _ = pair.behind.publish([10]).await;
    _ = pair.ahead.publish([11]).await;
    pair.ahead.reads(1..10).await;
    pair.behind.reads(1..6).await;
    pair.reads_after_one_gap([10, 11]).await;

    // No client receives the gap again from the other process.
    let Pair { ahead, behind, .. } = &mut pair;
    ahead.client.move_to(&behind.hub);
    behind.client.move_to(&ahead.hub);
    ahead.delivers([12]).await;
    behind.reads([12]).await;
}

/// The hub loads only the entries of the last three seconds. Among them is the marker of a loss
/// before them.
#[tokio::test]
async fn marker_is_reported_by_a_process_whose_history_begins_after_the_loss() {
    let Some(server) = Server::start().await else { return };
    let now = server.now().await;
    for (age, fields) in [
        (6_000, "topic a data 1".to_owned()),
        (4_000, "topic a data 2".to_owned()),
        (2_000, format!("gap {}-0", now - 5_000)),
        (1_000, "topic a data 3".to_owned()),
    ] {
        let _: String = server.command(&format!("XADD tower-sse {}-0 {fields}", now - age)).await;
    }
    let hub = Hub::builder()
        .retention(Retention::new().age(Duration::from_secs(3)))
        .connect(server.broker())
        .await
        .unwrap();
    let position = hub.position().to_string();
    let (epoch, _) = position.split_once('-').unwrap();
    let last = LastEventId::try_from(format!("{epoch}-{}", (now - 4_000) << 20)).unwrap();
    let mut client = Client::resume(&hub, &["a"], Some(last));
    client.gap("a").await;
    assert_eq!(client.data(1).await, ["3"]);
}

/// Runs the command of the page `operating` before the first process starts.
#[tokio::test]
async fn restore_while_all_processes_are_stopped_is_told_after_the_documented_command() {
    let (Some(_), Some(server)) = (find(&["redis-cli"]), Server::start_durable().await) else {
        return;
    };
    let page = include_str!("../../../crates/tower-sse-redis/docs/operating.md");
    let (_, command) = page.split_once("```sh,restored\n").unwrap();
    let (command, _) = command.split_once("```").unwrap();
    let cli = format!("redis-cli -p {}", server.port());
    let command = command.replace("redis-cli", &cli).replace("app:events", KEY);
    let (redis, server) = (server.redis(), tokio::sync::Mutex::new(server));
    let put_back = async || {
        let mut server = server.lock().await;
        until_async(async || !server.command::<String>("CLIENT LIST").await.contains(KEY)).await;
        server.kill();
        server.restart_with(Data::Snapshot).await;
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("000-0\n"), "{output:?}");
    };
    let connect = async || Process::connect(patient(redis.clone())).await;
    let copy = async || server.lock().await.take_snapshot();
    hub_process::restore_is_told(connect, copy, put_back).await;
}
