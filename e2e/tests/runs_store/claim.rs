//! Looking who has a key, and claiming it.

use crate::store::Store;

#[tokio::test]
async fn key_that_nobody_has_is_free_and_can_be_claimed_once() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.look().await, "free");
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.look().await, "live a1 p starting 0");
    assert_eq!(store.claim("a2", "q").await, "live a1 p starting 0");
}

#[tokio::test]
async fn claim_whose_reply_was_lost_can_be_repeated() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.claim("a1", "q").await, "live a1 p starting 0", "another process");
}

#[tokio::test]
async fn completed_run_keeps_its_key_and_any_other_end_frees_it() {
    let Some(mut store) = Store::start().await else { return };
    store.begin("a1", "p").await;
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    assert_eq!(store.look().await, "ended a1 p completed");
    assert_eq!(store.claim("a2", "q").await, "ended a1 p completed");

    assert_eq!(store.end("a1", "p", "forget").await, "ended forgotten");
    for (mode, outcome) in [("cancel", "cancelled"), ("lost", "interrupted")] {
        store.begin("b1", "p").await;
        assert_eq!(store.end("b1", "p", mode).await, format!("ended {outcome}"));
        assert_eq!(store.look().await, format!("ended b1 p {outcome}"));
        assert_eq!(store.claim("b2", "q").await, "new");
        assert_eq!(store.end("b2", "q", "void").await, "ended void");
        assert_eq!(store.end("b1", "p", "forget").await, "ended forgotten");
    }
}

#[tokio::test]
async fn voided_claim_is_free() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.end("a1", "p", "void").await, "ended void");
    assert_eq!(store.look().await, "free");
    assert_eq!(store.claim("a2", "q").await, "new");
}

#[tokio::test]
async fn late_owner_is_dead_after_the_grace_period() {
    let Some(mut store) = Store::start().await else { return };
    store.begin("a1", "p").await;
    store.expire_lease(10_000).await;
    assert_eq!(store.look().await, "late a1 p running 1500");
    store.seen_late(2_000, 1_000).await;
    let reply = store.claim("a2", "q").await;
    assert!(reply.starts_with("late a1 p running "), "{reply}");
    store.seen_late(3_000, 1_000).await;
    assert_eq!(store.look().await, "dead a1 p running 0");
    assert_eq!(store.claim("a2", "q").await, "dead a1 p running 0", "it must be ended first");
}

/// A claim that is new again has no traces of the run before.
#[tokio::test]
async fn new_claim_replaces_all_fields() {
    let Some(mut store) = Store::start().await else { return };
    store.begin("a1", "p").await;
    store.expire_lease(10_000).await;
    store.seen_late(3_000, 1_000).await;
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
    assert_eq!(store.claim("a2", "q").await, "new");
    for field in ["x", "y", "b", "h"] {
        assert_eq!(store.get(field).await, "nil", "{field}");
    }
}
