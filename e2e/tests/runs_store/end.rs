//! Each way in which a run ends.

use crate::{store::KEY, *};

#[tokio::test]
async fn owner_ends_its_run_only_if_redis_has_exactly_all_events() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    assert_eq!(store.complete("a1", "p", 3).await, "behind 2");
    assert_eq!(store.complete("a1", "p", 1).await, "behind 2");
    let end = async |store: &mut Store, entries| {
        store.end_with("a1", "p", "own", "completed", 2, Some(entries)).await
    };
    assert_eq!(end(&mut store, 3).await, "behind 0", "an entry is missing");
    assert_eq!(end(&mut store, 2).await, "ended completed");
    assert_eq!(store.ids("a1").await, ["0-1", "2-0", END_ID]);
    assert_eq!(end(&mut store, 2).await, "ended completed", "the reply was lost");
    assert_eq!(store.ended_at, 2);
    assert_eq!(store.end("a1", "q", "cancel").await, "over completed");
}

#[tokio::test]
async fn owner_without_all_events_ends_its_run_as_interrupted() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    let reply = store.end_with("a1", "p", "lost", "completed", 9, None).await;
    assert_eq!(reply, "ended interrupted", "never completed");
    assert_eq!(store.ended_at, 2);
    assert_eq!(store.look().await, "ended a1 p interrupted");
}

#[tokio::test]
async fn only_a_call_without_an_answer_can_be_voided() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    let mut pushes = store.subscribe(&channel("a1")).await;
    assert_eq!(store.end("a1", "p", "void").await, "ended void");
    assert_eq!(store.end("a1", "p", "void").await, "ended void", "the reply was lost");
    assert_eq!(pushes.next().await, "v");
    store.begin("a2", "p").await;
    assert_eq!(store.end("a2", "p", "void").await, "running");
}

/// Of a call without an answer, Redis keeps the claim until late commands have arrived.
#[tokio::test]
async fn void_claim_is_kept_for_two_leases() {
    for mode in ["void", "orphan"] {
        let Some(mut store) = Store::start().await else { return };
        assert_eq!(store.claim("a1", "p").await, "new");
        assert_eq!(store.end("a1", "p", mode).await, "ended void");
        let kept = store.ttl().await;
        assert!((LEASE..=2 * LEASE).contains(&kept), "{mode}: {kept}");
        assert_eq!(store.keys_of_runs().await, 1, "{mode}");
    }
}

/// The time begins with the end, which can be all that the stream has.
#[tokio::test]
async fn keys_are_kept_from_the_end_on() {
    for (mode, has_begun) in [
        ("own", true),
        ("lost", true),
        ("lost", false),
        ("cancel", true),
        ("cancel", false),
        ("bury", true),
        ("bury", false),
    ] {
        let Some(mut store) = Store::start().await else { return };
        let stream = crate::store::stream("a1");
        assert_eq!(store.claim("a1", "p").await, "new");
        if has_begun {
            assert_eq!(store.sync("a1", "p", HEAD).await, "ok 0 1 0");
        }
        store.die().await;
        for key in [KEY, &stream] {
            _ = store.command(&["PEXPIRE", key, "100000"]).await;
        }
        let outcome = if mode == "own" { "completed" } else { "interrupted" };
        let ended = store.end_with("a1", "p", mode, outcome, 0, None).await;
        assert!(ended.starts_with("ended "), "{mode}: {ended}");
        for key in [KEY, &stream] {
            let kept = store.ttl_of(key).await;
            assert!(kept > 290_000, "{key} after {mode}, begun: {has_begun}: {kept}");
        }
    }
}

#[tokio::test]
async fn any_process_can_cancel_and_the_owner_is_told() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    let mut hints = store.subscribe("app:run:ctl@0:p").await;
    let mut pushes = store.subscribe(&channel("a1")).await;
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!((hints.next().await, pushes.next().await), ("a1".into(), "e2 cancelled ".into()));
    assert_eq!(store.sync("a1", "p", HEAD).await, "over cancelled");
    assert_eq!(store.complete("a1", "p", 2).await, "over cancelled");
}

/// The owner may have given clients the events 3 and 4 and not exported them, so the number is far
/// above theirs.
#[tokio::test]
async fn last_event_of_another_process_is_pushed_and_found_by_the_owner() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    let mut pushes = store.subscribe(&channel("a1")).await;
    store.lines = "event: usage\ndata: 100%\n";
    for _ in 0..2 {
        // The second time, the reply was lost.
        assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
        assert_eq!(store.ended_at, 1_000_000_003);
    }
    let event = "event: usage\ndata: 100%\nid: a1-1000000003\n\n";
    assert_eq!(pushes.next().await, format!("d3 1000000003 {event}"));
    assert_eq!(pushes.next().await, "e1000000003 cancelled ");
    pushes.is_empty(&mut store).await;
    assert_eq!(store.ids("a1").await, ["0-1", "2-0", "1000000003-0", END_ID]);
    let over = format!("over cancelled 3 1000000003 {event}");
    assert_eq!(store.sync("a1", "p", HEAD).await, over);
    assert_eq!(store.sync("a1", "p", RESTORE).await, over);
    assert_eq!(store.check("a1", 0, false).await, "cancelled 1000000003 ");
}

#[tokio::test]
async fn last_event_is_added_only_to_a_run_that_is_running() {
    let Some(mut store) = Store::start().await else { return };
    store.lines = "data: 12\n";
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!(store.ids("a1").await, [END_ID]);
    assert_eq!(store.claim("a2", "p").await, "new");
    assert_eq!(store.sync("a2", "p", HEAD).await, "ok 0 1 0");
    assert_eq!(store.complete("a2", "p", 0).await, "ended completed");
    assert_eq!(store.end("a2", "q", "cancel").await, "over completed");
    assert_eq!(store.ids("a2").await, ["0-1", END_ID]);
}

#[tokio::test]
async fn only_a_dead_owner_is_buried() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.end("a1", "q", "bury").await, "live running 0");
    store.expire_lease(10_000).await;
    assert_eq!(store.end("a1", "q", "bury").await, "late running 1500");
    store.seen_late(3_000, 1_000).await;
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
    assert_eq!(store.sync("a1", "p", HEAD).await, "over interrupted");
}

#[tokio::test]
async fn unknown_claim_is_released_only_by_its_process() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.end("a1", "q", "orphan").await, "other");
    assert_eq!(store.end("a1", "p", "orphan").await, "ended void", "it was never called");
    assert_eq!(store.claim("a2", "q").await, "new");
    assert_eq!(store.end("a1", "p", "orphan").await, "other", "another run has the key");
    assert_eq!(store.sync("a2", "q", HEAD).await, "ok 0 1 0");
    assert_eq!(store.end("a2", "q", "orphan").await, "ended interrupted");
}

#[tokio::test]
async fn forgotten_run_leaves_nothing() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.end("a1", "p", "forget").await, "running");
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    assert_eq!(store.end("a1", "p", "forget").await, "ended forgotten");
    assert_eq!(store.keys_of_runs().await, 0);
    assert_eq!(store.look().await, "free");
}

#[tokio::test]
async fn run_whose_key_has_another_run_is_forgotten_alone() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.end("a1", "p", "forget").await, "ended forgotten");
    assert_eq!(store.look().await, "live a2 q starting 0");
    assert_eq!(store.keys_of_runs().await, 1);
}

#[tokio::test]
async fn run_without_a_claim_is_gone() {
    let Some(mut store) = Store::start().await else { return };
    for mode in ["own", "lost", "void", "orphan", "cancel", "bury"] {
        assert_eq!(store.end("a1", "p", mode).await, "gone", "{mode}");
    }
    assert_eq!(store.keys_of_runs().await, 0);
}
