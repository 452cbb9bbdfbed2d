//! Claiming a key in place of an earlier run.

use super::*;
use crate::runs::seam::EndMode;

scenes!(Scene:
    live_run_is_cancelled_and_its_owner_is_told,
    run_that_is_not_the_earlier_one_stays,
    replacement_whose_reply_was_lost_can_be_repeated,
    run_that_ended_keeps_its_outcome_and_its_owner_is_told,
    only_the_stream_of_a_replaced_run_can_be_discarded,
    replaced_run_stays_over_when_its_successor_is_voided,
);

async fn live_run_is_cancelled_and_its_owner_is_told(scene: Scene<impl World>) {
    scene.begin("a1").await;
    scene.append("a1", 1, 3).await;
    scene.subscribe("q", "a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.stream("a1").await, ["head", "1 3", "cancelled 3"]);
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "replaced cancelled");
    assert_eq!(scene.look().await, "live a2 of q");
    assert_eq!(scene.received("p").await, "replaced a1");
    assert_eq!(scene.received("q").await, "end cancelled 3");
}

async fn run_that_is_not_the_earlier_one_stays(scene: Scene<impl World>) {
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed", "no run");
    scene.begin("b1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed");
    assert_eq!(scene.look().await, "live b1 of p");
}

async fn replacement_whose_reply_was_lost_can_be_repeated(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.look().await, "live a2 of q");
}

async fn run_that_ended_keeps_its_outcome_and_its_owner_is_told(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "replaced completed");
    assert_eq!(scene.received("p").await, "replaced a1");
}

async fn only_the_stream_of_a_replaced_run_can_be_discarded(scene: Scene<impl World>) {
    scene.begin("a1").await;
    scene.append("a1", 1, 1).await;
    assert_eq!(scene.complete("a1", 1).await, "ended completed 1");
    assert_eq!(scene.end("a1", "p", EndMode::Discard).await, "running");
    assert_eq!(scene.stream("a1").await, ["head", "1 1", "completed 1"]);
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.end("a1", "p", EndMode::Discard).await, "freed");
    assert!(scene.stream("a1").await.is_empty());
    assert_eq!(scene.look().await, "live a2 of q");
}

/// The reply to its replacement was lost. Its owner finds no run in its place.
async fn replaced_run_stays_over_when_its_successor_is_voided(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.end("a2", "q", EndMode::Void).await, "freed");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "replaced cancelled");
    assert_eq!(scene.look().await, "free");
}
