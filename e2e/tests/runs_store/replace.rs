//! Claiming a key in place of an earlier run.

use crate::*;

#[tokio::test]
async fn live_run_is_cancelled_and_its_owner_is_told() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 3).await.unwrap();
    let mut hints = store.subscribe("app:run:ctl@0:p").await;
    let mut pushes = store.subscribe(&crate::store::channel("a1")).await;
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.ids("a1").await, ["0-1", "3-0", END_ID]);
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "over cancelled");
    assert_eq!(store.look().await, "live a2 q starting 0");
    assert_eq!(hints.next().await, "a1");
    assert_eq!(pushes.next().await, "e3 cancelled ");
}

/// All that its stream has is the end.
#[tokio::test]
async fn run_that_is_replaced_before_it_begins_is_kept_for_its_time() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.ids("a1").await, [END_ID]);
    assert!(store.ttl_of(&crate::store::stream("a1")).await > 290_000);
}

#[tokio::test]
async fn run_that_is_not_the_earlier_one_stays() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "again", "no run");
    store.begin("b1", "p").await;
    assert_eq!(store.replace("a1", "a2", "q").await, "again");
    assert_eq!(store.look().await, "live b1 p running 0");
}

#[tokio::test]
async fn replacement_whose_reply_was_lost_can_be_repeated() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.look().await, "live a2 q starting 0");
}

#[tokio::test]
async fn run_that_ended_keeps_its_outcome() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.complete("a1", "p", 0).await, "ended completed");
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "over completed");
}
