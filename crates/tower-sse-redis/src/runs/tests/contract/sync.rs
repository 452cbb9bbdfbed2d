//! Beginning a stream, looking for the keys of a run, and what the store has of it.

use super::*;

scenes!(
    stream_begins_once,
    lost_claim_is_created_again_only_on_demand,
    run_that_lost_its_key_is_over,
    owner_of_a_watched_run_sends_the_number_of_the_newest_event,
    key_that_is_missing_is_noticed,
);

async fn stream_begins_once(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.q.subscribe("a1").await;
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 0 0", "no answer yet");
    assert_eq!(scene.q.check("a1").await, "starting");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    scene.p.append("a1", 1, 2).await;
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 2 2");
    assert_eq!(scene.p.complete("a1", 2).await, "ended");
    assert_eq!(scene.q.check("a1").await, "ended 2 head");
    assert_eq!(scene.q.stream("a1").await, ["head", "1 2", "completed 2"]);
    for expected in ["changed", "1 2 data: a\n\n", "end completed 2"] {
        assert_eq!(scene.q.received().await, expected);
    }
    scene.q.has_received_all().await;
}

/// The store has lost the claim, or only the stream, for example by an eviction.
async fn lost_claim_is_created_again_only_on_demand(scene: Scene) {
    for (epoch, lost, appended, frees) in
        [("a1", CLAIM, "appended 1", true), ("b1", &stream("b1"), "refused", false)]
    {
        scene.p.begin(epoch).await;
        scene.p.append(epoch, 1, 2).await;
        scene.world.lose(lost).await;
        assert_eq!(scene.p.append(epoch, 3, 3).await, appended, "no stream is created");
        let known = Sync { entries: Some(2), ..HEAD };
        assert_eq!(scene.p.sync(epoch, known).await, "behind");
        assert_eq!(scene.q.look().await == "free", frees);
        assert_eq!(scene.p.sync(epoch, RESTORE).await, "ok 0 1");
        assert_eq!(scene.q.stream(epoch).await, ["head"]);
        assert_eq!(scene.q.look().await, format!("live {epoch} of p"));
        assert_eq!(scene.q.check(epoch).await, "running 0 head");
        scene.p.append(epoch, 1, 2).await;
        assert_eq!(scene.p.complete(epoch, 2).await, "ended");
        assert_eq!(scene.p.end(epoch, Forget).await, "freed");
    }
}

async fn run_that_lost_its_key_is_over(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.q.replace("a1", "a2").await, "claimed");
    assert_eq!(scene.p.sync("a1", HEAD).await, "replaced cancelled");
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.p.sync("a1", RESTORE).await, "other");
    assert_eq!(scene.q.look().await, "live a2 of q");
}

/// The owner pushes no batch of a run that no process watches, so a client that begins to watch
/// needs the number of the newest event.
async fn owner_of_a_watched_run_sends_the_number_of_the_newest_event(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 3).await;
    scene.q.subscribe("a1").await;
    scene.p.sync("a1", HEAD).await;
    scene.q.has_received_all().await;
    scene.p.sync("a1", Sync { is_watched: true, ..HEAD }).await;
    assert_eq!(scene.q.received().await, "newest 3");
}

/// A run that has not begun has no stream.
async fn key_that_is_missing_is_noticed(scene: Scene) {
    assert_eq!(scene.p.have_keys("a1").await, "missing", "no run has the key");
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.p.store.have_keys(1, &[(run("a1"), false)]).await, Ok(true));
    assert_eq!(scene.p.have_keys("a1").await, "missing", "its owner says that it has begun");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    for lost in [CLAIM, &stream("a1")] {
        assert_eq!(scene.p.have_keys("a1").await, "found");
        scene.world.lose(lost).await;
        assert_eq!(scene.p.have_keys("a1").await, "missing", "{lost}");
        assert_eq!(scene.p.sync("a1", RESTORE).await, "ok 0 1");
    }
}
