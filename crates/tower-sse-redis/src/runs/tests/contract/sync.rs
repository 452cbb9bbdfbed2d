//! Renewing a lease, beginning a stream, and what the store has of a run.

use super::*;

scenes!(
    stream_begins_once,
    lost_claim_is_created_again_only_on_demand,
    run_that_lost_its_key_is_over,
    watching_process_is_reported,
    owner_that_did_not_push_sends_the_number_of_the_newest_event,
    lease_is_renewed_without_a_look_at_the_stream,
    lease_of_a_run_with_another_stream_is_not_renewed,
    lease_of_a_starting_run_is_renewed,
);

async fn stream_begins_once(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.q.subscribe("a1").await;
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 0 0", "no answer yet");
    assert_eq!(scene.q.check("a1").await, "starting live");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    scene.p.append("a1", 1, 2).await;
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 2 2");
    assert_eq!(scene.p.complete("a1", 2).await, "ended completed 2");
    assert_eq!(scene.q.stream("a1").await, ["head", "1 2", "completed 2"]);
    for expected in ["head", "1 2 data: a\n\n", "end completed 2"] {
        assert_eq!(scene.q.received().await, expected);
    }
    scene.q.has_received_all().await;
}

/// The same holds for a stream that was lost alone, for example by an eviction.
async fn lost_claim_is_created_again_only_on_demand(scene: Scene) {
    for (epoch, lost, appended, found) in
        [("a1", CLAIM, "appended 1", "gone"), ("b1", &stream("b1"), "refused", "behind")]
    {
        scene.p.begin(epoch).await;
        scene.p.append(epoch, 1, 2).await;
        scene.world.lose(lost).await;
        assert_eq!(scene.p.append(epoch, 3, 3).await, appended, "no stream is created");
        let known = Sync { entries: Some(2), ..HEAD };
        assert_eq!(scene.p.sync(epoch, known).await, found);
        let is_free = scene.q.look().await == "free";
        assert_eq!(is_free, found == "gone");
        assert_eq!(scene.p.sync(epoch, RESTORE).await, "ok 0 1");
        assert_eq!(scene.q.stream(epoch).await, ["head"]);
        assert_eq!(scene.q.look().await, format!("live {epoch} of p"));
        assert_eq!(scene.q.check(epoch).await, "running live 0 head");
        scene.p.append(epoch, 1, 2).await;
        assert_eq!(scene.p.complete(epoch, 2).await, "ended completed 2");
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

async fn watching_process_is_reported(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.q.watch("a1").await, "running live 0 head");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1 watched");
    assert_eq!(scene.p.renew("a1", None).await, "renewed watched");
    scene.world.pass(LEASE * 3 / 4).await;
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    assert_eq!(scene.p.renew("a1", None).await, "renewed");
}

/// The owner pushes no batch of a run that no process watches, so a client that begins to watch
/// needs the number of the newest event.
async fn owner_that_did_not_push_sends_the_number_of_the_newest_event(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 3).await;
    scene.q.subscribe("a1").await;
    let quiet = Sync { is_quiet: true, ..HEAD };
    scene.p.sync("a1", quiet).await;
    assert_eq!(scene.q.watch("a1").await, "running live 3 head");
    scene.p.sync("a1", quiet).await;
    assert_eq!(scene.q.received().await, "newest 3");
    scene.p.sync("a1", HEAD).await;
    scene.q.has_received_all().await;
}

async fn lease_is_renewed_without_a_look_at_the_stream(scene: Scene) {
    assert_eq!(scene.p.renew("a1", None).await, "unsure", "no run has the key");
    scene.p.begin("a1").await;
    scene.expire().await;
    assert_eq!(scene.q.look().await, "late 1500 a1 of p");
    assert_eq!(scene.p.renew("a1", None).await, "renewed");
    assert_eq!(scene.q.look().await, "live a1 of p");
    assert_eq!(scene.p.renew("a2", None).await, "unsure");
    assert_eq!(scene.q.renew("a1", None).await, "unsure");
    assert_eq!(scene.p.cancel("a1").await, "ended cancelled 0");
    assert_eq!(scene.p.renew("a1", None).await, "unsure");
    assert_eq!(scene.q.look().await, "cancelled a1");
}

/// A renewal that looks at the stream does not change the lease if the stream has fewer or more
/// entries than expected.
async fn lease_of_a_run_with_another_stream_is_not_renewed(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 3).await;
    scene.expire().await;
    for entries in [0, 1, 3] {
        assert_eq!(scene.p.renew("a1", Some(entries)).await, "unsure", "{entries}");
    }
    assert_eq!(scene.q.look().await, "late 1500 a1 of p");
    assert_eq!(scene.p.renew("a1", Some(2)).await, "renewed");
    assert_eq!(scene.q.look().await, "live a1 of p");
    scene.expire().await;
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.p.renew("a1", Some(2)).await, "unsure");
    assert_eq!(scene.q.look().await, "late 1500 a1 of p");
}

/// A run that has not begun has no stream.
async fn lease_of_a_starting_run_is_renewed(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.expire().await;
    assert_eq!(scene.p.renew("a1", Some(1)).await, "unsure", "its owner says that it has begun");
    assert_eq!(scene.p.renew("a1", Some(0)).await, "renewed");
    assert_eq!(scene.q.look().await, "live a1 of p");
}
