use super::*;

/// The store returns to a state before the end of the run while the connection stays open, so the
/// owner does not notice it.
#[tokio::test(start_paused = true)]
async fn end_that_the_store_has_lost_is_told_again_at_a_request() {
    for fails in [false, true] {
        let (one, other, source) = started(&["a"]).await;
        sleep(Duration::from_secs(1)).await;
        let older = one.store.server().clone();
        if fails {
            source.send(Err("failed")).unwrap();
        }
        drop(source);
        sleep(Duration::from_secs(1)).await;
        one.store.restore(&older);
        // For a lease after the loss, the owner of a missing run may still restore it.
        sleep(LEASE).await;
        one.store.faults().delay = Duration::from_millis(1);
        let new = soon(one.start()).await;
        assert_eq!(new.is_some(), fails, "only a complete run is kept");
        assert_eq!(one.outcomes().len(), 1);
        if !fails {
            assert_whole(other.attach().await, &["a"]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reply_that_is_lost_loses_no_event() {
    let (one, other) = two().await;
    let source = one.start().await.unwrap();
    let mut live = other.attach().await;
    for text in ["a", "b", "c", "d"] {
        one.store.faults().lost_replies = 1;
        send(&source, &[text]);
        assert_eq!(read(&mut live, 1).await, [text]);
        one.store.faults().lost_replies = 0;
    }
    drop(source);
    assert_whole(live, &[]).await;
    assert_whole(other.attach().await, &["a", "b", "c", "d"]).await;
}

/// Another process has taken the key of the first run meanwhile. No process has cancelled the first
/// run, so it ends as interrupted.
#[tokio::test(start_paused = true)]
async fn next_run_of_a_deleted_claim_interrupts_the_one_at_its_owner() {
    let (one, other) = two().await;
    let first = one.start().await.unwrap();
    send(&first, &["a"]);
    let mut client = one.attach().await;
    read(&mut client, 1).await;
    // By then, the owner has exported the run's events, and does not renew its lease yet.
    sleep(Duration::from_millis(1500)).await;
    one.store.server().claims.clear();
    // The next run must have a later epoch, and epochs follow the real time.
    std::thread::sleep(Duration::from_millis(2));
    let second = other.start().await.expect("the key is free");
    second.send(Err("broken")).unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(other.outcomes(), [Outcome::Failed]);
    let third = one.start().await.expect("a run that failed frees its key");
    assert_fails(client, &[], Some(Outcome::Interrupted)).await;
    assert_eq!(one.outcomes(), [Outcome::Interrupted]);
    drop(third);
}

#[tokio::test(start_paused = true)]
async fn statistics_count_mirrors_and_exports_that_wait() {
    let (one, other, source, live) = watched(&["a"]).await;
    assert_eq!((one.runs.stats().mirrors, other.runs.stats().mirrors), (0, 1));
    assert_eq!(one.runs.stats().waiting_exports, 0);
    one.store.go_away();
    drop(source);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(one.runs.stats().waiting_exports, 1);
    one.store.come_back();
    assert_whole(live, &[]).await;
    sleep(LEASE).await;
    assert_eq!(other.runs.stats().mirrors, 0, "nothing uses it");
    assert_eq!(one.runs.stats().waiting_exports, 0);
}

#[tokio::test(start_paused = true)]
async fn unwatched_run_at_full_speed_is_exported_whole() {
    let (one, other) = two_with(|builder| builder.retain_bytes(8 << 20)).await;
    let source = one.start().await.unwrap();
    let text = "x".repeat(10_000);
    let texts = vec![text.as_str(); 400];
    send(&source, &texts);
    drop(source);
    sleep(Duration::from_secs(1)).await;
    assert_whole(other.attach().await, &texts).await;
}

#[tokio::test(start_paused = true)]
async fn unwatched_run_sends_one_batch_a_second() {
    let (one, _other) = two().await;
    let source = one.start().await.unwrap();
    for _ in 0..500 {
        send(&source, &["x"]);
        sleep(Duration::from_millis(20)).await;
    }
    let commands = one.store.server().commands.clone();
    assert!((8..=12).contains(&commands["append"]), "{commands:?}");
    assert!(commands["sync"] <= 10, "{commands:?}");
}
