//! Renewing a lease, beginning a stream, and what the store has of a run.

use super::*;

scenes!(
    stream_begins_once,
    lost_claim_is_created_again_only_on_demand,
    lost_stream_is_behind_and_can_be_restored,
    run_that_lost_its_key_is_over,
    watching_process_is_reported,
    owner_that_did_not_push_sends_the_number_of_the_newest_event,
    lease_is_renewed_without_a_look_at_the_stream,
    lease_of_a_run_with_another_stream_is_not_renewed,
    lease_of_a_starting_run_is_renewed,
);

async fn stream_begins_once(scene: Scene) {
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    scene.subscribe("q", "a1").await;
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "ok 0 0", "no answer yet");
    assert_eq!(scene.check("a1").await, "starting live");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 2 2");
    assert_eq!(scene.complete("a1", 2).await, "ended completed 2");
    assert_eq!(scene.stream("a1").await, ["head", "1 2", "completed 2"]);
    for expected in ["head", "1 2 data: a\n\n", "end completed 2"] {
        assert_eq!(scene.received("q").await, expected);
    }
    scene.has_received_all("q").await;
}

async fn lost_claim_is_created_again_only_on_demand(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    scene.world.lose(CLAIM).await;
    assert_eq!(scene.sync("a1", "p", HEAD).await, "gone");
    assert_eq!(scene.look().await, "free");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "ok 0 1");
    assert_eq!(scene.look().await, "live a1 of p");
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.complete("a1", 2).await, "ended completed 2");
}

/// The stream alone was deleted, as by an eviction.
async fn lost_stream_is_behind_and_can_be_restored(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.append("a1", 3, 3).await, "refused", "it creates no stream");
    assert_eq!(scene.sync("a1", "p", Sync { entries: Some(2), ..HEAD }).await, "behind");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "ok 0 1");
    assert_eq!(scene.stream("a1").await, ["head"]);
    assert_eq!(scene.check("a1").await, "running live 0 head");
}

async fn run_that_lost_its_key_is_over(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "replaced cancelled");
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "other");
    assert_eq!(scene.look().await, "live a2 of q");
}

async fn watching_process_is_reported(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.watch("a1", "q").await, "running live 0 head");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1 watched");
    assert_eq!(scene.renew("a1", "p", None).await, "renewed watched");
    scene.world.pass(LEASE * 3 / 4).await;
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    assert_eq!(scene.renew("a1", "p", None).await, "renewed");
}

/// The owner pushes no batch of a run that no process watches, so a client that begins to watch
/// needs the number of the newest event.
async fn owner_that_did_not_push_sends_the_number_of_the_newest_event(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 3).await;
    scene.subscribe("q", "a1").await;
    let quiet = Sync { is_quiet: true, ..HEAD };
    scene.sync("a1", "p", quiet).await;
    assert_eq!(scene.watch("a1", "q").await, "running live 3 head");
    scene.sync("a1", "p", quiet).await;
    assert_eq!(scene.received("q").await, "newest 3");
    scene.sync("a1", "p", HEAD).await;
    scene.has_received_all("q").await;
}

async fn lease_is_renewed_without_a_look_at_the_stream(scene: Scene) {
    assert_eq!(scene.renew("a1", "p", None).await, "unsure", "no run has the key");
    scene.begin("a1").await;
    scene.expire().await;
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    assert_eq!(scene.renew("a1", "p", None).await, "renewed");
    assert_eq!(scene.look().await, "live a1 of p");
    for (epoch, process) in [("a2", "p"), ("a1", "q")] {
        assert_eq!(scene.renew(epoch, process, None).await, "unsure", "{epoch} of {process}");
    }
    assert_eq!(scene.cancel("a1", "p").await, "ended cancelled 0");
    assert_eq!(scene.renew("a1", "p", None).await, "unsure");
    assert_eq!(scene.look().await, "cancelled a1");
}

/// A renewal that looks at the stream does not change the lease if the store has less or more.
async fn lease_of_a_run_with_another_stream_is_not_renewed(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 3).await;
    scene.expire().await;
    for entries in [0, 1, 3] {
        assert_eq!(scene.renew("a1", "p", Some(entries)).await, "unsure", "{entries}");
    }
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    assert_eq!(scene.renew("a1", "p", Some(2)).await, "renewed");
    assert_eq!(scene.look().await, "live a1 of p");
    scene.expire().await;
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.renew("a1", "p", Some(2)).await, "unsure");
    assert_eq!(scene.look().await, "late 1500 a1 of p");
}

/// A run that has not begun has no stream.
async fn lease_of_a_starting_run_is_renewed(scene: Scene) {
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    scene.expire().await;
    assert_eq!(scene.renew("a1", "p", Some(1)).await, "unsure", "its owner says that it has begun");
    assert_eq!(scene.renew("a1", "p", Some(0)).await, "renewed");
    assert_eq!(scene.look().await, "live a1 of p");
}
