//! What is evicted first, in the process and in the store.

use tower_sse::runs::RunsBuilder;

use super::*;

/// This holds for the memory of the process and for that of the store.
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
    let memory = one.runs.stats().memory;
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

/// A real store deletes an expired run by itself, but the store of this test does not.
#[tokio::test(start_paused = true)]
async fn run_counts_for_as_long_as_the_store_keeps_it() {
    const KEPT_FOR: Duration = Duration::from_secs(60);
    for limit in [RunsBuilder::max_memory, RunsBuilder::max_memory_per_owner] {
        let (one, other) = two_with(|builder| limit(builder.retain_for(KEPT_FOR), 100_000)).await;
        let text = "x".repeat(60_000);
        for (turn, pause) in [(1, KEPT_FOR), (2, KEPT_FOR / 2), (3, KEPT_FOR / 2)] {
            let source = one.start_as(&key_of(turn)).await;
            send(&source, &[&text]);
            drop(source);
            sleep(pause + Duration::from_secs(1)).await;
        }
        let mut forgotten = Vec::new();
        for turn in 1..=3 {
            forgotten.extend(other.get_as(&key_of(turn)).await.is_none().then_some(turn));
        }
        assert_eq!(forgotten, [2], "its time was not over when the third one was stored");
    }
}

/// The owner exports the run again after each loss.
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

/// Sends ten events of 40 kB in as many batches, and ends the run if it `ends`. The store then goes
/// back to its state after the third batch, such as when a replica takes over, and the run is
/// exported again.
async fn export_after_a_rollback(one: &Process, ends: bool) -> (Vec<String>, Option<Source>) {
    let source = one.start().await.unwrap();
    let texts: Vec<_> = (0..10).map(|at| format!("{at}{}", "x".repeat(40_000))).collect();
    let mut older = None;
    for (at, text) in texts.iter().enumerate() {
        if at == 3 {
            older = Some(one.store.server().clone());
        }
        send(&source, &[text]);
        sleep(Duration::from_secs(2)).await;
    }
    let source = Some(source).filter(|_| !ends);
    sleep(Duration::from_secs(2)).await;
    one.store.go_away();
    one.store.restore(&older.unwrap());
    one.store.come_back();
    sleep(Duration::from_secs(4)).await;
    (texts, source)
}

#[tokio::test(start_paused = true)]
async fn partly_lost_run_keeps_all_events_that_fit() {
    for ends in [false, true] {
        let (one, other) = two_with(|builder| builder.retain_bytes(500_000)).await;
        let (texts, source) = export_after_a_rollback(&one, ends).await;
        drop(source);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_whole(other.attach().await, &texts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_the_store_has_lost_in_part_counts_once() {
    for limit in [RunsBuilder::max_memory, RunsBuilder::max_memory_per_owner] {
        for ends in [false, true] {
            let (one, other) = two_with(|builder| limit(builder, 750_000)).await;
            let first = one.start_as(&key_of(1)).await;
            send(&first, &["x".repeat(200_000).as_str()]);
            drop(first);
            sleep(Duration::from_secs(1)).await;
            let (_, source) = export_after_a_rollback(&one, ends).await;
            drop(source);
            sleep(Duration::from_secs(1)).await;
            assert!(other.get_as(&key_of(1)).await.is_some(), "both fit");
        }
    }
}
