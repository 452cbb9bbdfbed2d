//! Removing rows that are too old or too many.

use crate::*;

const TEN_THOUSAND: &str =
    "with recursive n(n) as (select 1 union all select n + 1 from n limit 10000)
    insert into news (topic, data) select 'b', printf('%100s', n) from n";

fn rows(file: &File) -> usize {
    let rows = format!("select count(*) from {} where topic > ''", file.table);
    file.sql().query_row(&rows, [], |row| row.get(0)).unwrap()
}

async fn with_a_short_age(file: &File) -> Process {
    let builder = Hub::builder().retention(Retention::new().age(Duration::from_millis(100)));
    let broker = file.broker().max_age(Duration::from_millis(200));
    Process::connect_with(builder, broker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_removed_but_not_the_newest() {
    let file = File::new();
    let process = with_a_short_age(&file).await;
    process.publish(1..=20).await;
    until(|| rows(&file) == 1).await;
    process.publish([21]).await;
    until(|| rows(&file) == 1).await;
    assert_eq!((process.health.reconnections(), process.stats.losses()), (0, 0));
}

/// The operator must see how the log grows.
#[tokio::test(flavor = "multi_thread")]
async fn log_is_measured_while_it_cannot_be_trimmed() {
    let file = File::new();
    let process = with_a_short_age(&file).await;
    process.publish([1, 2]).await;
    let lock = file.sql();
    lock.execute_batch("begin immediate").unwrap();
    until(|| process.health.last_error().is_some()).await;
    let age = || process.stats.log().map(|log| log.oldest_age);
    let before = age();
    until(|| age() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_above_the_limit_are_removed() {
    let file = File::new();
    let _process = Process::connect(file.broker().max_events(10_000)).await;
    // One trim removes at most 10,000.
    (0..3).for_each(|_| file.run(TEN_THOUSAND));
    until(|| rows(&file) == 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_above_the_limit_are_removed_and_their_space_is_used_again() {
    let file = File::new();
    let process = Process::connect(file.broker().max_bytes(500_000)).await;
    let pages = async || {
        // Readers can prevent a checkpoint, so try until it succeeds.
        let checkpoint = "pragma wal_checkpoint(truncate)";
        until(|| file.sql().query_row(checkpoint, [], |row| row.get(0)) == Ok(0)).await;
        fs::metadata(&file.path).unwrap().len()
    };
    for _ in 0..2 {
        file.run(TEN_THOUSAND);
        until(|| rows(&file) == 500_000 / 101).await;
    }
    let size = pages().await;
    for _ in 0..3 {
        file.run(TEN_THOUSAND);
        until(|| rows(&file) == 500_000 / 101).await;
    }
    let reused = pages().await;
    assert!(reused < size * 3 / 2, "{size} {reused}");
    until(|| process.stats.log().is_some_and(|log| log.bytes == Some(reused))).await;
    file.run("vacuum");
    let shrunk = pages().await;
    assert!(shrunk < size * 2 / 3, "{size} {shrunk}");
}
