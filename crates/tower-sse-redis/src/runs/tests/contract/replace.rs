//! Claiming a key in place of an earlier run.

use super::*;

scenes!(
    live_run_is_cancelled_and_its_owner_is_told,
    run_that_is_not_the_earlier_one_stays,
    run_that_ended_keeps_its_outcome_and_its_owner_is_told,
);

/// A replacement whose reply was lost can be repeated.
async fn live_run_is_cancelled_and_its_owner_is_told(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 3).await;
    scene.subscribe("q", "a1").await;
    for _ in 0..2 {
        assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
        assert_eq!(scene.stream("a1").await, ["head", "1 3", "cancelled 3"]);
        assert_eq!(scene.look().await, "live a2 of q");
    }
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "replaced cancelled");
    assert_eq!(scene.received("p").await, "replaced a1");
    assert_eq!(scene.received("q").await, "end cancelled 3");
}

async fn run_that_is_not_the_earlier_one_stays(scene: Scene) {
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed", "no run");
    scene.begin("b1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed");
    assert_eq!(scene.look().await, "live b1 of p");
}

async fn run_that_ended_keeps_its_outcome_and_its_owner_is_told(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    let reply = scene.sync("a1", "p", Sync::default()).await;
    assert_eq!(reply, "replaced completed, reported");
    assert_eq!(scene.received("p").await, "replaced a1");
}
