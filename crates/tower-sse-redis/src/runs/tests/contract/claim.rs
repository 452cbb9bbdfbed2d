//! Looking up which run has a key, and claiming the key.

use super::*;

scenes!(
    key_without_a_run_is_free_and_can_be_claimed_once,
    completed_run_keeps_its_key_and_any_other_end_frees_it,
    missing_run_may_be_restored_for_a_lease_after_a_loss,
    live_run_is_cancelled_and_its_owner_is_told,
    run_that_is_not_the_earlier_one_stays,
    run_that_ended_keeps_its_outcome_and_its_owner_is_told,
);

/// A process can repeat its own claim if the reply was lost.
async fn key_without_a_run_is_free_and_can_be_claimed_once(scene: Scene) {
    assert_eq!(scene.q.look().await, "free");
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.q.claim("a1").await, "live a1 of p", "another process");
    assert_eq!(scene.q.look().await, "live a1 of p");
    assert_eq!(scene.q.claim("a2").await, "live a1 of p");
}

/// While claims are restored, no other run gets the key: an ended run may have a successor that an
/// older state does not have.
async fn completed_run_keeps_its_key_and_any_other_end_frees_it(scene: Scene) {
    for (mode, outcome, next) in [
        (completed(0, None), "completed", "completed a1"),
        (CANCEL, "cancelled", "claimed"),
        (Release, "interrupted", "claimed"),
    ] {
        scene.p.begin("a1").await;
        assert_eq!(scene.p.end("a1", mode).await, "ended");
        assert_eq!(scene.q.look().await, format!("{outcome} a1"));
        scene.world.lose(DATA).await;
        assert_eq!(scene.q.look().await, format!("{outcome} a1 or restoring"));
        assert!(scene.q.claim("a2").await.ends_with("restoring"));
        scene.world.restored().await;
        assert_eq!(scene.q.claim("a2").await, next);
        if next == "claimed" {
            assert_eq!(scene.q.end("a2", Release).await, "freed");
            assert_eq!(scene.q.look().await, "free", "a void run");
        }
        assert_eq!(scene.p.end("a1", Forget).await, "freed");
    }
}

async fn missing_run_may_be_restored_for_a_lease_after_a_loss(scene: Scene) {
    scene.p.begin("a1").await;
    scene.world.lose_data().await;
    // This process starts after the loss, and no other process has sent a command since.
    let late = Process::connect(scene.world.store(), "late").await;
    assert_eq!(late.look().await, "restoring");
    assert_eq!(scene.p.received().await, "hint to all");
    assert_eq!(scene.q.claim("a2").await, "restoring");
    assert_eq!(scene.p.sync("a1", RESTORE).await, "ok 0 1");
    assert_eq!(scene.q.look().await, "live a1 of p or restoring");
    assert_eq!(scene.p.complete("a1", 0).await, "ended");
    assert_eq!(scene.q.look().await, "completed a1 or restoring");
    scene.world.restored().await;
    assert_eq!(scene.q.look().await, "completed a1");
    assert_eq!(scene.p.end("a1", Forget).await, "freed");
    assert_eq!(scene.q.claim("a2").await, "claimed");
}

// Claiming a key in place of an earlier run.

/// A replacement whose reply was lost can be repeated.
async fn live_run_is_cancelled_and_its_owner_is_told(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 3).await;
    scene.q.subscribe("a1").await;
    for _ in 0..2 {
        assert_eq!(scene.q.replace("a1", "a2").await, "claimed");
        assert_eq!(scene.q.stream("a1").await, ["head", "1 3", "cancelled 3"]);
        assert_eq!(scene.q.look().await, "live a2 of q");
    }
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "replaced cancelled");
    assert_eq!(scene.p.received().await, "replaced a1");
    assert_eq!(scene.q.received().await, "end cancelled 3");
}

async fn run_that_is_not_the_earlier_one_stays(scene: Scene) {
    assert_eq!(scene.q.replace("a1", "a2").await, "changed", "no run");
    scene.p.begin("b1").await;
    assert_eq!(scene.q.replace("a1", "a2").await, "changed");
    assert_eq!(scene.q.look().await, "live b1 of p");
}

async fn run_that_ended_keeps_its_outcome_and_its_owner_is_told(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.p.complete("a1", 0).await, "ended");
    assert_eq!(scene.q.replace("a1", "a2").await, "claimed");
    let reply = scene.p.sync("a1", Sync::default()).await;
    assert_eq!(reply, "replaced completed, reported");
    assert_eq!(scene.p.received().await, "replaced a1");
}
