//! Looking who has a key, and claiming it.

use crate::*;

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
    let Some(mut store) = Store::begun().await else { return };
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

/// Whatever follows the claim, it does not stay for ever.
#[tokio::test]
async fn claim_is_kept_for_its_time() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert!(store.ttl().await > 290_000);
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert!(store.ttl().await > 290_000);
}

/// A script that failed after it has written would leave a key for ever.
#[tokio::test]
async fn no_time_is_too_long_for_a_script() {
    let Some(mut store) = Store::start().await else { return };
    store.ttl = u64::MAX;
    store.begin("a1", "p").await;
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    store.lose_stream("a1").await;
    assert_eq!(store.check("a1", 0, false).await, "interrupted 0 ");
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.replace("a2", "a3", "q").await, "new");
    assert_eq!(store.end("a3", "q", "void").await, "ended void");
}

#[tokio::test]
async fn late_owner_is_dead_after_the_grace_period() {
    let Some(mut store) = Store::begun().await else { return };
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
    let Some(mut store) = Store::begun().await else { return };
    store.die().await;
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
    assert_eq!(store.claim("a2", "q").await, "new");
    for field in ["x", "y", "b", "h"] {
        assert_eq!(store.get(field).await, "nil", "{field}");
    }
}

/// The process that finds out also reports it to all owners, which restore their claims.
#[tokio::test]
async fn missing_run_may_be_restored_for_a_lease_after_a_flush() {
    let Some(mut store) = Store::begun().await else { return };
    let mut hints = store.subscribe(EVERYONE).await;
    _ = store.command(&["FLUSHALL"]).await;
    assert_eq!(store.look().await, "restoring");
    assert_eq!(hints.next().await, "");
    assert_eq!(store.claim("a2", "q").await, "restoring");
    hints.is_empty(&mut store).await;
    store.set_restored(1_000).await;
    assert_eq!(store.look().await, "restoring");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "ok 0 1 0");
    assert_eq!(store.look().await, "live a1 p running 0");
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    assert_eq!(store.look().await, "ended a1 p completed restoring");
    store.set_restored(-1).await;
    assert_eq!(store.look().await, "ended a1 p completed");
    assert_eq!(store.end("a1", "p", "forget").await, "ended forgotten");
    assert_eq!(store.claim("a2", "q").await, "new");
}

/// A run that ended may have a successor, of which an older state does not know.
#[tokio::test]
async fn run_that_ended_is_not_followed_by_another_while_claims_are_restored() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.end("a1", "p", "cancel").await, "ended cancelled");
    assert_eq!(store.join("s2", "s1").await, "joined");
    assert_eq!(store.look().await, "ended a1 p cancelled restoring");
    assert_eq!(store.claim("a3", "q").await, "restoring");
    store.set_restored(-1).await;
    assert_eq!(store.claim("a3", "q").await, "new");
}

#[tokio::test]
async fn only_a_process_that_knew_the_data_says_that_they_are_lost() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.look().await, "free", "a new server");
    assert_eq!(store.join("s2", "").await, "joined");
    assert_eq!(store.look().await, "free", "another process starts");
    assert_eq!(store.join("s2", "s1").await, "joined");
    assert_eq!(store.look().await, "restoring", "the server was restarted");
    store.set_restored(-1).await;
    assert_eq!(store.join("s2", "s1").await, "joined");
    assert_eq!(store.look().await, "free", "the last process returns, after another has said so");

    _ = store.command(&["FLUSHALL"]).await;
    let hints = store.subscribe(EVERYONE).await;
    assert_eq!(store.join("s2", "").await, "joined");
    assert_eq!(store.look().await, "restoring", "a process starts while others are connected");
    drop(hints);
}

#[tokio::test]
async fn clock_that_is_set_back_does_not_prolong_the_restoration() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.join("s2", "s1").await, "joined");
    store.set_restored(LEASE as i64 + 60_000).await;
    assert_eq!(store.look().await, "free");
    assert_eq!(store.command(&["HGET", DATA, "d"]).await, LEASE.to_string());
}
