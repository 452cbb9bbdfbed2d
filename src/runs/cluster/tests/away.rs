use super::*;

#[tokio::test(start_paused = true)]
async fn runs_go_on_at_their_owner_while_the_store_is_away() {
    let (one, other, source) = started(&["a"]).await;
    let own = one.attach().await;
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    one.store.go_away();
    other.store.go_away();
    let left = Instant::now();
    assert_fails(live, &[], None).await;
    assert!(left.elapsed() >= LEASE && left.elapsed() <= LEASE * 3, "{:?}", left.elapsed());
    let refused = other.try_start(&key(), None).await.unwrap_err();
    assert_eq!(refused, StartError::Unavailable);
    let parts = request(None);
    assert_eq!(refused.answer(&parts).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(other.runs.get(&key()).await.is_none(), "nor can it be known");
    let answer = other.runs.answer(&key(), &parts).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    sleep(Duration::from_secs(3600)).await;
    assert!(one.start().await.is_none(), "the owner has the run");
    send(&source, &["b"]);
    one.store.come_back();
    other.store.come_back();
    drop(source);
    assert_whole(own, &["a", "b"]).await;
    soon(async {
        while other.store.server().streams.values().all(|stream| stream.end.is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_whole(other.attach().await, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn store_that_comes_back_empty_is_filled_again() {
    let (one, other, source, mut live) = watched(&["a", "b"]).await;
    one.store.lose_data();
    send(&source, &["c"]);
    assert_eq!(read(&mut live, 1).await, ["c"]);
    drop(source);
    assert_whole(live, &[]).await;
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
}

/// Its owner restores the claim, if it reaches the store within a lease.
#[tokio::test(start_paused = true)]
async fn run_that_the_store_lost_is_neither_unknown_nor_started_again() {
    let (one, other, source) = started(&["a", "b"]).await;
    let mut live = one.attach().await;
    read(&mut live, 2).await;
    let seen = id(&one.get().await.unwrap(), 2);
    one.store.go_away();
    one.store.lose_data();
    for last in [None, Some(&seen)] {
        assert_eq!(other.status(last).await, 503, "{last:?}");
        let refused = other.try_start(&key(), last).await.unwrap_err();
        assert_eq!(refused, StartError::Unavailable, "{last:?}");
    }
    sleep(LEASE / 2).await;
    one.store.come_back();
    sleep(Duration::from_millis(10)).await;
    assert!(other.start().await.is_none(), "the claim is restored");
    assert!(other.answer(Some(&seen)).await.status().is_success());
    drop(source);
    assert_whole(other.attach().await, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn run_is_started_again_if_its_owner_stays_away_after_a_loss() {
    let (one, other) = two().await;
    let _source = one.start().await.unwrap();
    one.store.go_away();
    one.store.lose_data();
    sleep(LEASE).await;
    assert!(other.runs.answer(&key(), &request(None)).await.is_none(), "unknown");
    assert!(other.start().await.is_some());
}

/// In the older state, the key has an earlier run, which has ended.
#[tokio::test(start_paused = true)]
async fn older_state_knows_an_earlier_run_until_the_claim_is_restored() {
    let (one, other) = two().await;
    one.start().await.unwrap().send(Err("failed")).unwrap();
    sleep(Duration::from_secs(1)).await;
    let older = one.store.server().clone();
    let source = one.start().await.unwrap();
    send(&source, &["a"]);
    sleep(Duration::from_secs(1)).await;
    let seen = id(&one.get().await.unwrap(), 1);
    one.store.go_away();
    one.store.restore(&older);
    assert_eq!(other.status(Some(&seen)).await, 503);
    let refused = other.try_start(&key(), None).await.unwrap_err();
    assert_eq!(refused, StartError::Unavailable);
    one.store.come_back();
    sleep(Duration::from_millis(10)).await;
    assert!(other.answer(Some(&seen)).await.status().is_success());
}

#[tokio::test(start_paused = true)]
async fn store_that_comes_back_with_an_older_state_is_filled_again() {
    for ends_before in [false, true] {
        let (one, other, source, mut live) = watched(&["a", "b"]).await;
        let older = one.store.server().clone();
        send(&source, &["c"]);
        read(&mut live, 1).await;
        drop(live);
        let mut source = Some(source);
        if ends_before {
            // The store says yes to the end, and loses it.
            source = None;
            sleep(Duration::from_secs(1)).await;
        }
        one.store.go_away();
        one.store.restore(&older);
        one.store.come_back();
        sleep(Duration::from_secs(1)).await;
        drop(source);
        assert_whole(other.attach().await, &["a", "b", "c"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn older_state_on_the_same_connection_leaves_no_hole() {
    let (one, other, source, mut live) = watched(&["a"]).await;
    let older = one.store.server().clone();
    send(&source, &["b"]);
    read(&mut live, 1).await;
    one.store.restore(&older);
    send(&source, &["c"]);
    drop(source);
    sleep(Duration::from_secs(1)).await;
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
    assert_whole(live, &["c"]).await;
}

/// The store goes back behind the end on the same connection, so that nothing tells the owner.
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
        // Until then, a missing run may still be restored.
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

#[tokio::test(start_paused = true)]
async fn deleted_streams_are_filled_again() {
    let (one, other, source, live) = watched(&["a", "b"]).await;
    one.store.server().streams.clear();
    send(&source, &["c"]);
    drop(source);
    assert_whole(live, &["c"]).await;
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
}

#[tokio::test(start_paused = true)]
async fn run_whose_claim_is_deleted_is_not_started_again_at_its_owner() {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(3)).await;
    one.store.server().claims.clear();
    assert!(one.start().await.is_none(), "the owner still has the run");
    assert!(one.get().await.is_some());
    sleep(Duration::from_millis(10)).await;
    assert!(other.start().await.is_none(), "the claim is restored");
    drop(source);
    assert_whole(other.attach().await, &["a"]).await;
}

/// Another process has taken its key meanwhile. Nobody has cancelled the run, whatever its clients
/// do.
#[tokio::test(start_paused = true)]
async fn next_run_of_a_deleted_claim_interrupts_the_one_at_its_owner() {
    let (one, other) = two().await;
    let first = one.start().await.unwrap();
    send(&first, &["a"]);
    let mut client = one.attach().await;
    read(&mut client, 1).await;
    // Its events are exported, and its lease is renewed later.
    sleep(Duration::from_millis(1500)).await;
    one.store.server().claims.clear();
    // The next run has a later epoch, which is of the real time.
    let epoch = one.runs.process.peek(&key()).unwrap().epoch;
    while crate::runs::epoch::age(epoch) < Duration::from_millis(1) {
        std::thread::yield_now();
    }
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
    assert_eq!((one.runs.stats().mirrors(), other.runs.stats().mirrors()), (0, 1));
    assert_eq!(one.runs.stats().waiting_exports(), 0);
    one.store.go_away();
    drop(source);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(one.runs.stats().waiting_exports(), 1);
    one.store.come_back();
    assert_whole(live, &[]).await;
    sleep(LEASE).await;
    assert_eq!(other.runs.stats().mirrors(), 0, "nothing uses it");
    assert_eq!(one.runs.stats().waiting_exports(), 0);
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
