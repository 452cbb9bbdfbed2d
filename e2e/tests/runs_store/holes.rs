//! Losses and races that earlier versions of the protocol did not survive, step by step.

use redis::Value;

use crate::*;

/// The run that follows a cancelled one is voided. The owner of the cancelled one then finds no run
/// in its place, and must not take that for a loss.
#[tokio::test]
async fn cancelled_run_stays_over_when_its_successor_is_voided() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!(store.claim("a2", "q").await, "new");
    assert_eq!(store.end("a2", "q", "void").await, "ended void");
    assert!(store.append("a1", 3, 3).await.is_err());
    assert_eq!(store.sync("a1", "p", HEAD).await, "over cancelled");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "over cancelled");
    assert_eq!(store.look().await, "free");
}

/// The same for a run that was replaced, and the reply to its replacement lost.
#[tokio::test]
async fn replaced_run_stays_over_when_its_successor_is_voided() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.end("a2", "q", "void").await, "ended void");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "over cancelled");
    assert_eq!(store.look().await, "free");
}

/// Even without any claim, the end in the stream decides.
#[tokio::test]
async fn ended_run_is_not_restored_after_its_claim_was_lost() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    store.lose_claim().await;
    assert_eq!(store.sync("a1", "p", RESTORE).await, "over cancelled");
    assert_eq!(store.ids("a1").await, ["0-1", END_ID]);
}

/// A voided call is not restored by a renewal that was sent before.
#[tokio::test]
async fn voided_run_is_over_for_late_renewals() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.end("a1", "p", "void").await, "ended void");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "over void");
    assert_eq!(store.look().await, "free");
}

/// An owner that no longer has its last events would otherwise be behind for ever.
#[tokio::test]
async fn run_whose_last_events_are_lost_ends() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    assert_eq!(store.complete("a1", "p", 5).await, "behind 2");
    assert_eq!(store.end("a1", "p", "lost").await, "ended interrupted");
    assert_eq!(store.check("a1", 0, false).await, "interrupted 2 ");
}

/// A fail-over that kept the connection gives an older state. The next event fits behind it, so
/// only the number of entries shows the hole.
#[tokio::test]
async fn run_with_a_hole_does_not_complete() {
    let Some(mut store) = Store::begun().await else { return };
    for event in 1..=3 {
        _ = store.append("a1", event, event).await.unwrap();
    }
    // Events 4 and 5 were acknowledged, and are lost.
    _ = store.append("a1", 6, 6).await.unwrap();
    let known = 7;
    let behind = store.sync("a1", "p", Sync { entries: Some(known), ..HEAD }).await;
    assert_eq!(behind, "behind 6 5 0");
    let end = store.end_with("a1", "p", "own", "completed", 6, Some(known)).await;
    assert_eq!(end, "behind 0");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "ok 0 1 0");
    _ = store.append("a1", 1, 6).await.unwrap();
    let end = store.end_with("a1", "p", "own", "completed", 6, Some(2)).await;
    assert_eq!(end, "ended completed");
}

/// A server with an older state has the run before this one.
#[tokio::test]
async fn live_run_takes_its_key_back_from_an_earlier_ended_run() {
    let Some(mut store) = Store::start().await else { return };
    store.begin("a9", "p").await;
    assert_eq!(store.complete("a9", "p", 0).await, "ended completed");
    assert_eq!(store.sync("a10", "p", HEAD).await, "gone");
    assert_eq!(store.sync("a10", "p", RESTORE).await, "ok 0 1 0");
    assert_eq!(store.look().await, "live a10 p running 0");
    assert_eq!(store.sync("a9", "p", RESTORE).await, "over completed", "never the other way");
    assert_eq!(store.complete("a10", "p", 0).await, "ended completed");
    assert_eq!(store.sync("a8", "p", RESTORE).await, "other");
}

/// A key of another type makes the renewal fail before the lease is renewed, so the run can be
/// buried, and its end replaces the key.
#[tokio::test]
async fn run_whose_stream_has_another_type_can_still_end() {
    for mode in ["cancel", "lost", "bury"] {
        let Some(mut store) = Store::begun().await else { return };
        store.lose_stream("a1").await;
        _ = store.command(&["SET", &crate::store::stream("a1"), "text"]).await;
        store.expire_lease(20_000).await;
        let late = store.get("l").await;
        assert!(store.try_sync("a1", "p", HEAD).await.is_err());
        assert_eq!(store.get("l").await, late, "the lease is not renewed");
        store.seen_late(9_000, 1_000).await;
        let reply = store.end("a1", "q", mode).await;
        assert!(reply.starts_with("ended "), "{mode}: {reply}");
        assert_eq!(store.ids("a1").await, [END_ID]);
    }
}

/// The stream has an end, and the claim is live.
#[tokio::test]
async fn live_claim_of_an_ended_stream_is_ended() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    for mode in ["sync", "own", "bury", "check"] {
        store.set("s", "running").await;
        let reply = match mode {
            "sync" => store.sync("a1", "p", HEAD).await,
            "check" => store.check("a1", 0, false).await,
            _ => store.end("a1", "p", mode).await,
        };
        assert!(reply.contains("cancelled"), "{mode}: {reply}");
        assert_eq!(store.get("s").await, "cancelled", "{mode}");
    }
}

/// The claim says that the run completed, and the stream is lost. Whatever is left must not look
/// complete, and the key becomes free for a new call.
#[tokio::test]
async fn completed_run_without_its_stream_is_interrupted() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    store.lose_stream("a1").await;
    assert_eq!(store.check("a1", 0, false).await, "interrupted 0 ");
    assert_eq!(store.ids("a1").await, [END_ID]);
    assert_eq!(store.claim("a2", "q").await, "new");
}

/// While Redis is out of memory, no new run is claimed, and the events of running runs are refused.
/// Leases are renewed, and runs can end: no hint is sent for an end that Redis then refuses.
#[tokio::test]
async fn runs_without_memory_keep_their_leases_and_can_end() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(1_000).await;
    let _: String = store.server.command("CONFIG SET maxmemory 1").await;
    let mut hints = store.subscribe("app:run:ctl@0:p").await;
    assert!(store.append("a1", 1, 1).await.is_err());
    for attempt in [store.try_claim("a2", "q").await, store.try_replace("a1", "a2", "q").await] {
        let error = attempt.unwrap_err().to_string();
        assert!(error.contains("OOM"), "{error}");
    }
    assert_eq!(store.look().await, "late a1 p running 1500");
    assert_eq!(store.sync("a1", "p", HEAD).await, "ok 0 1 0");
    assert_eq!(store.look().await, "live a1 p running 0");
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!(hints.next().await, "a1");
    assert_eq!(store.look().await, "ended a1 p cancelled");
    hints.is_empty(&mut store).await;
}

/// A process with another version changes nothing.
#[tokio::test]
async fn claim_of_another_version_is_left_alone() {
    let Some(mut store) = Store::begun().await else { return };
    store.set("v", 2).await;
    store.die().await;
    let before = store.claim_fields().await;
    assert_eq!(store.look().await, "version 2");
    assert_eq!(store.claim("a2", "q").await, "version 2");
    assert_eq!(store.replace("a1", "a2", "q").await, "version 2");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "version 2");
    assert_eq!(store.check("a1", 3_000, true).await, "version 2");
    for mode in ["own", "lost", "void", "orphan", "cancel", "bury", "forget"] {
        assert_eq!(store.end("a1", "p", mode).await, "version 2", "{mode}");
    }
    assert_eq!(store.claim_fields().await, before);
    assert_eq!(store.ids("a1").await, ["0-1"]);
}

/// The one that buried the run reports its end, also if the reply to its first attempt was lost.
#[tokio::test]
async fn process_that_buried_a_run_is_known() {
    let Some(mut store) = Store::begun().await else { return };
    store.die().await;
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
    assert_eq!(store.end("a1", "r", "bury").await, "over interrupted");
    assert_eq!(store.complete("a1", "p", 0).await, "over interrupted");
}

/// Every push comes after the last write: a reader that is told finds what it was told of.
#[tokio::test]
async fn push_of_the_end_comes_after_the_end() {
    let Some(mut store) = Store::begun().await else { return };
    let mut pushes = store.subscribe(&channel("a1")).await;
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    assert_eq!(pushes.next().await, "e0 completed ");
    pushes.is_empty(&mut store).await;
    assert_eq!(store.append("a9", 1, 1).await.unwrap(), Value::Nil);
}
