//! What is evicted first, here and in the store.

use super::*;
use crate::runs::RunsBuilder;

const TEXT: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
    xxxxxxxxxxxxxxxxxxxxxxxx";

/// Two processes, and two runs of the first one, which almost have its maximum memory. The store is
/// away, and has the events of the first run only.
async fn almost_full() -> (Process, Process, Source, Source) {
    let (one, other) = two_with(|builder| builder.max_memory(110_000)).await;
    let (first, second) = (one.start_as(&key_of(1)).await, one.start_as(&key_of(2)).await);
    send(&first, &[TEXT; 180]);
    sleep(Duration::from_secs(2)).await;
    one.store.go_away();
    send(&second, &[TEXT; 220]);
    (one, other, first, second)
}

/// The second run is larger, but the store does not have its events.
#[tokio::test(start_paused = true)]
async fn events_that_are_not_exported_yet_are_evicted_last() {
    let (one, other, first, second) = almost_full().await;
    sleep(Duration::from_millis(10)).await;
    let full = one.runs.stats().memory();
    assert!(full > 100_000, "{full}");
    send(&second, &[TEXT; 60]);
    sleep(Duration::from_millis(10)).await;
    assert!(one.runs.stats().memory() < 110_000);
    one.store.come_back();
    drop(second);
    sleep(Duration::from_secs(1)).await;
    assert_whole(other.attach_as(&key_of(2)).await, &[TEXT; 280]).await;
    drop(first);
}

/// A run that has ended can be exported as completed only while its events are there.
#[tokio::test(start_paused = true)]
async fn end_that_is_not_exported_yet_is_evicted_after_running_runs() {
    let (one, other, running, ending) = almost_full().await;
    drop(ending);
    sleep(Duration::from_millis(10)).await;
    send(&running, &[TEXT; 60]);
    sleep(Duration::from_millis(10)).await;
    one.store.come_back();
    sleep(Duration::from_secs(1)).await;
    assert_whole(other.attach_as(&key_of(2)).await, &[TEXT; 220]).await;
    drop(running);
}

/// While the store is away, a run that has ended makes room for one that still runs.
#[tokio::test(start_paused = true)]
async fn run_that_has_ended_is_evicted_before_a_running_one_if_the_store_has_neither() {
    let (one, other) = two_with(|builder| builder.max_memory(110_000)).await;
    let (ending, running) = (one.start_as(&key_of(1)).await, one.start_as(&key_of(2)).await);
    one.store.go_away();
    send(&ending, &[TEXT; 220]);
    drop(ending);
    sleep(Duration::from_millis(10)).await;
    send(&running, &[TEXT; 300]);
    sleep(Duration::from_millis(10)).await;
    assert!(one.runs.stats().memory() < 110_000);
    one.store.come_back();
    drop(running);
    sleep(Duration::from_secs(1)).await;
    assert_whole(other.attach_as(&key_of(2)).await, &[TEXT; 300]).await;
    assert!(one.runs.shared.peek(&key_of(1)).is_none(), "it is forgotten");
}

/// Neither in this process nor in the store.
#[tokio::test(start_paused = true)]
async fn one_owner_does_not_evict_the_runs_of_others() {
    let (one, other) = two_with(|builder| builder.max_memory_per_owner(60_000)).await;
    let text = "x".repeat(1_000);
    let quiet = RunKey::new("quiet", "turn").unwrap();
    for turn in 0..20 {
        let key = if turn == 0 { quiet.clone() } else { key_of(turn) };
        let source = one.start_as(&key).await;
        send(&source, &[text.as_str(); 10]);
        drop(source);
        sleep(Duration::from_secs(1)).await;
    }
    let memory = one.runs.stats().memory();
    assert!(memory < 60_000 + 20_000, "{memory}");
    let mut kept = Vec::new();
    for turn in 1..20 {
        let run = other.get_as(&key_of(turn)).await;
        assert_eq!(run.is_some(), one.get_as(&key_of(turn)).await.is_some(), "{turn}");
        kept.extend(run.map(|_| turn));
    }
    assert_eq!(kept, [15, 16, 17, 18, 19], "the newest of the owner");
    for process in [&one, &other] {
        let (data, error) = read_all(process.attach_as(&quiet).await).await;
        assert!(error.is_none() && data.len() == 10, "{error:?}");
    }
}

/// Its owner exports it again each time.
#[tokio::test(start_paused = true)]
async fn run_that_the_store_loses_after_its_end_counts_once() {
    for limit in [RunsBuilder::max_memory, RunsBuilder::max_memory_per_owner] {
        let (one, other) = two_with(|builder| limit(builder, 100_000)).await;
        let source = one.start().await.unwrap();
        let text = "x".repeat(10_000);
        let texts = [text.as_str(); 6];
        send(&source, &texts);
        drop(source);
        sleep(Duration::from_secs(1)).await;
        for _ in 0..3 {
            one.store.go_away();
            one.store.lose_data();
            one.store.come_back();
            sleep(Duration::from_secs(1)).await;
        }
        assert_whole(other.attach().await, &texts).await;
    }
}
