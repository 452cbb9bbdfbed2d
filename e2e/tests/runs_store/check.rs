//! What another process learns of a run.

use crate::*;

#[tokio::test]
async fn state_and_newest_event_are_reported() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.check("a1", 0, false).await, "gone 0");
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.check("a1", 0, true).await, "starting 0 live 0 ");
    assert_eq!(store.sync("a1", "p", HEAD).await, "ok 0 1 0");
    _ = store.append("a1", 1, 7).await.unwrap();
    assert_eq!(store.check("a1", 0, true).await, "running 7 live 0 head");
    assert_eq!(store.complete("a1", "p", 7).await, "ended completed");
    assert_eq!(store.check("a1", 0, true).await, "completed 7 head");
}

#[tokio::test]
async fn key_of_another_run_is_reported() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.check("a1", 3_000, true).await, "other 0 head");
    assert_eq!(store.end("a2", "q", "void").await, "ended void");
    assert_eq!(store.check("a2", 3_000, true).await, "void 0");
}

/// The owner learns it at once if nobody watched the run before.
#[tokio::test]
async fn first_watcher_is_announced_to_the_owner() {
    let Some(mut store) = Store::begun().await else { return };
    let mut hints = store.subscribe("app:run:ctl@0:p").await;
    _ = store.check("a1", 0, false).await;
    assert_eq!(store.get("w").await, "0", "a run that is only looked at is not watched");
    _ = store.check("a1", 3_000, false).await;
    let watched: u64 = store.get("w").await.parse().unwrap();
    _ = store.check("a1", 1, false).await;
    assert_eq!(store.get("w").await.parse::<u64>().unwrap(), watched, "the longest counts");
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!([hints.next().await, hints.next().await], ["a1", "a1"]);
    hints.is_empty(&mut store).await;
}

#[tokio::test]
async fn late_and_dead_owners_are_reported() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(10_000).await;
    assert_eq!(store.check("a1", 0, false).await, "running 0 late 1500 ");
    store.seen_late(3_000, 1_000).await;
    assert_eq!(store.check("a1", 0, false).await, "running 0 dead 0 ");
}

/// A live claim with an ended stream, as after a partial loss.
#[tokio::test]
async fn end_of_the_stream_ends_the_claim() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    store.set("s", "running").await;
    assert_eq!(store.check("a1", 0, false).await, "completed 0 ");
    assert_eq!(store.look().await, "ended a1 p completed");
    assert_eq!(store.ids("a1").await, ["0-1", END_ID]);
}

/// As after a loss, from which its owner restores it.
#[tokio::test]
async fn run_whose_key_has_one_that_ended_earlier_is_gone() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.check("a2", 0, false).await, "other 0 ");
    assert_eq!(store.end("a1", "p", "lost").await, "ended interrupted");
    assert_eq!(store.check("a2", 0, false).await, "gone 0");
    assert_eq!(store.check("10", 0, false).await, "other 0 ");
}
