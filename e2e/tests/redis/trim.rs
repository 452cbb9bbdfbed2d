//! Streams that are trimmed by age or by other programs.

use crate::*;

#[tokio::test]
async fn old_entries_are_trimmed_without_a_gap() {
    // Long enough that clients on a busy machine read events before they are too old.
    const AGE: Duration = Duration::from_secs(2);
    let Some(server) = Server::start().await else { return };
    let connect = async || {
        let builder = Hub::builder().retention(Retention::new().age(AGE));
        Process::connect_with(builder, server.broker().max_age(AGE)).await
    };
    let is_trimmed = async || until_async(async || server.length().await <= 1).await;
    let mut processes = [connect().await, connect().await];
    _ = processes[0].publish(0..5).await;
    // The hubs keep events as long as Redis does.
    for process in &mut processes {
        process.reads(0..5).await;
    }
    is_trimmed().await;
    // The newest entry stays although it becomes too old, until another entry follows.
    let later = server.now().await + 5_000;
    until_async(async || server.now().await >= later).await;
    assert_eq!(server.length().await, 1);
    _ = processes[1].publish([5]).await;
    for process in &mut processes {
        process.reads([5]).await;
    }
    is_trimmed().await;
    let new = connect().await;
    assert!(processes.iter().chain([&new]).all(|process| process.stats.losses() == 0));
    let entries = format!("{:?}", server.command::<redis::Value>("XRANGE tower-sse - +").await);
    assert!(entries.contains("topic") && !entries.contains("gap"), "{entries}");
}

#[tokio::test]
async fn entries_of_any_age_are_trimmed_if_the_maximum_age_is_zero() {
    let Some(server) = Server::start().await else { return };
    for age in [Duration::ZERO, Duration::from_micros(1)] {
        let builder = Hub::builder().retention(Retention::new().age(age));
        let process = Process::connect_with(builder, server.broker().max_age(age)).await;
        _ = process.publish(0..5).await;
        until_async(async || server.length().await <= 1).await;
    }
}

/// One process finds no entries. Before it has added an entry that marks the loss, the other
/// process publishes. Both processes report a gap before this event.
#[tokio::test]
async fn trim_to_nothing_is_one_gap_in_each_process() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish_and_read(1..=3).await;
    // The reader that is behind receives a full page, and reads on at once.
    pair.proxy.hold_when_sent("XREAD");
    pair.proxy.release();
    until(|| pair.proxy.is_holding()).await;
    let _: u64 = pair.server.command("XTRIM tower-sse MAXLEN 0").await;
    pair.proxy.hold_when_sent("*6\r\n$6\r\nXRANGE\r\n");
    pair.proxy.release();
    until(|| pair.proxy.is_holding()).await;
    _ = pair.ahead.publish([4]).await;
    pair.proxy.release();
    pair.ahead.reads(1..=3).await;
    pair.behind.reads(1..=3).await;
    pair.reads_after_one_gap([4]).await;
    pair.are_following().await;
    _ = pair.behind.publish([5]).await;
    for process in [&mut pair.ahead, &mut pair.behind] {
        process.reads([5]).await;
    }
    assert_eq!(pair.losses(), [1, 1]);
}

#[tokio::test]
async fn maximum_age_below_the_retention_of_the_hub_is_refused() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_age(Duration::from_secs(299));
    let error = Hub::connect(broker).await.unwrap_err();
    assert!(format!("{error:?}").contains("retention"), "{error:?}");
    _ = Hub::connect(server.broker().max_age(Duration::from_secs(300))).await.unwrap();
}

#[tokio::test]
async fn more_events_than_redis_can_count_are_no_limit() {
    let Some(server) = Server::start().await else { return };
    publishes_and_reads(server.broker().max_events(usize::MAX)).await;
}

/// Entries that `behind` has not read are trimmed. Because another program has renamed a key, the
/// counts of the server's commands no longer prove that these entries were trimmed.
#[tokio::test]
async fn gap_precedes_what_is_left_after_a_trim_and_a_foreign_rename() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    let mut moving = Client::connect(&pair.ahead.hub, &["a"]);
    // Another program swaps its caches.
    let _: String = pair.server.command("SET cache 1").await;
    let _: String = pair.server.command("RENAME cache cache-old").await;
    _ = pair.ahead.publish_and_read(1..=20).await;
    let _: u64 = pair.server.command("XTRIM tower-sse MAXLEN 5").await;
    // This client is ahead of the process that it moves to.
    assert_eq!(moving.data(10).await.last().unwrap(), "10");
    moving.move_to(&pair.behind.hub);
    pair.proxy.release();
    pair.behind.reads([1]).await;
    pair.behind.reads_gap().await;
    moving.gap("a").await;
    moving.move_to(&pair.ahead.hub);
    let left: Vec<_> = (16..=20).map(|number| number.to_string()).collect();
    assert_eq!(moving.data(5).await, left);
    assert_eq!(pair.behind.client.data(5).await, left);
}
