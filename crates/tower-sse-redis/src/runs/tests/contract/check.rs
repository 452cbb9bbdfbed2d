//! What another process learns of a run.

use super::*;
use crate::runs::seam::EndMode;

scenes!(Scene:
    state_and_newest_event_are_reported,
    key_of_another_run_is_reported,
    first_watcher_is_announced_to_the_owner,
    run_whose_key_has_one_that_ended_earlier_is_gone,
);

async fn state_and_newest_event_are_reported(scene: Scene<impl World>) {
    assert_eq!(scene.check("a1").await, "gone");
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    assert_eq!(scene.check("a1").await, "starting live");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    scene.append("a1", 1, 7).await;
    assert_eq!(scene.check("a1").await, "running live 7 head");
    assert_eq!(scene.complete("a1", 7).await, "ended completed 7");
    assert_eq!(scene.check("a1").await, "completed 7 head");
}

async fn key_of_another_run_is_reported(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.watch("a1", "q").await, "other 0 head");
    assert_eq!(scene.end("a2", "q", EndMode::Void).await, "freed");
    assert_eq!(scene.watch("a2", "q").await, "void");
}

/// The owner learns it at once if no process watched the run before.
async fn first_watcher_is_announced_to_the_owner(scene: Scene<impl World>) {
    scene.begin("a1").await;
    scene.check("a1").await;
    assert_eq!(scene.renew("a1", "p", None).await, "renewed", "it is only looked at");
    scene.watch("a1", "q").await;
    scene.watch("a1", "r").await;
    assert_eq!(scene.received("p").await, "hint a1");
    scene.has_received_all("p").await;
}

/// As after a loss, from which its owner restores it.
async fn run_whose_key_has_one_that_ended_earlier_is_gone(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.check("a2").await, "other 0");
    assert_eq!(scene.end("a1", "p", EndMode::Lost).await, "ended interrupted 0");
    assert_eq!(scene.check("a2").await, "gone");
    assert_eq!(scene.check("10").await, "other 0");
}
