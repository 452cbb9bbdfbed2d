//! Looking which run has a key, and claiming it.

use super::*;

scenes!(
    key_without_a_run_is_free_and_can_be_claimed_once,
    completed_run_keeps_its_key_and_any_other_end_frees_it,
    late_owner_is_dead_after_the_grace_period,
    renewed_lease_forgets_earlier_looks,
    missing_run_may_be_restored_for_a_lease_after_a_loss,
    ended_run_has_no_successor_while_claims_are_restored,
);

/// Its process can repeat a claim whose reply was lost.
async fn key_without_a_run_is_free_and_can_be_claimed_once(scene: Scene) {
    assert_eq!(scene.look().await, "free");
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    assert_eq!(scene.claim("a1", "q").await, "live a1 of p", "another process");
    assert_eq!(scene.look().await, "live a1 of p");
    assert_eq!(scene.claim("a2", "q").await, "live a1 of p");
}

async fn completed_run_keeps_its_key_and_any_other_end_frees_it(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.look().await, "completed a1");
    assert_eq!(scene.claim("a2", "q").await, "completed a1");

    assert_eq!(scene.end("a1", "p", EndMode::Forget).await, "freed");
    for (mode, outcome) in [(CANCEL, "cancelled"), (EndMode::Lost, "interrupted")] {
        scene.begin("b1").await;
        assert_eq!(scene.end("b1", "p", mode).await, format!("ended {outcome} 0"));
        assert_eq!(scene.look().await, format!("{outcome} b1"));
        assert_eq!(scene.claim("b2", "q").await, "claimed");
        assert_eq!(scene.end("b2", "q", EndMode::Void).await, "freed");
        assert_eq!(scene.look().await, "free", "a void run");
        assert_eq!(scene.end("b1", "p", EndMode::Forget).await, "freed");
    }
}

async fn late_owner_is_dead_after_the_grace_period(scene: Scene) {
    scene.begin("a1").await;
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    assert!(scene.claim("a2", "q").await.starts_with("late "));
    assert!(scene.check("a1").await.starts_with("running late "));
    scene.die().await;
    assert_eq!(scene.claim("a2", "q").await, "dead a1 of p", "it must be ended first");
    assert_eq!(scene.check("a1").await, "running dead 0 head");
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "ended interrupted 0");
    assert_eq!(scene.claim("a2", "q").await, "claimed");
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a2 of q", "no look at the earlier one counts");
}

/// The owner that comes back is not late any more.
async fn renewed_lease_forgets_earlier_looks(scene: Scene) {
    scene.begin("a1").await;
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "ok 0 1");
    assert_eq!(scene.look().await, "live a1 of p");
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    // Looks that are far apart do not count: the owner may have had no chance between them.
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a1 of p");
}

async fn missing_run_may_be_restored_for_a_lease_after_a_loss(scene: Scene) {
    scene.begin("a1").await;
    scene.world.lose_data().await;
    assert_eq!(scene.look().await, "restoring");
    assert_eq!(scene.claim("a2", "q").await, "restoring");
    scene.world.pass(LEASE / 2).await;
    assert_eq!(scene.look().await, "restoring");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "ok 0 1");
    assert_eq!(scene.look().await, "live a1 of p or restoring");
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.look().await, "completed a1 or restoring");
    scene.expire().await;
    assert_eq!(scene.look().await, "completed a1");
    assert_eq!(scene.end("a1", "p", EndMode::Forget).await, "freed");
    assert_eq!(scene.claim("a2", "q").await, "claimed");
}

/// A run that ended may have a successor, of which an older state does not know.
async fn ended_run_has_no_successor_while_claims_are_restored(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.cancel("a1", "p").await, "ended cancelled 0");
    scene.world.lose(DATA).await;
    assert_eq!(scene.look().await, "cancelled a1 or restoring");
    assert_eq!(scene.claim("a3", "q").await, "restoring");
    scene.expire().await;
    assert_eq!(scene.claim("a3", "q").await, "claimed");
}
