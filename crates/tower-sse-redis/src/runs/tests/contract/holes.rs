//! Losses and races that earlier versions of the protocol did not survive, step by step.

use super::*;

scenes!(
    cancelled_run_stays_over_when_its_successor_is_voided,
    voided_run_is_over_for_late_syncs,
    run_with_a_hole_does_not_complete,
    live_run_takes_its_key_back_from_an_earlier_ended_run,
    run_takes_its_key_back_from_an_earlier_live_run,
    completed_run_without_its_stream_is_interrupted,
);

/// The run that follows a cancelled one is voided. The owner of the cancelled one then finds no run
/// in its place, and must not take that for a loss.
async fn cancelled_run_stays_over_when_its_successor_is_voided(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 2).await;
    assert_eq!(scene.p.cancel("a1").await, "ended");
    assert_eq!(scene.q.claim("a2").await, "claimed");
    assert_eq!(scene.q.end("a2", Release).await, "freed");
    assert_eq!(scene.p.append("a1", 3, 3).await, "refused");
    assert_eq!(scene.p.sync("a1", HEAD).await, "replaced cancelled, reported");
    assert_eq!(scene.p.sync("a1", RESTORE).await, "replaced cancelled, reported");
    assert_eq!(scene.q.look().await, "free");
}

/// A run that was voided is not restored by a `Sync` that was sent earlier and arrives later.
async fn voided_run_is_over_for_late_syncs(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.p.end("a1", Release).await, "freed");
    assert_eq!(scene.p.sync("a1", RESTORE).await, "over interrupted");
    assert_eq!(scene.q.look().await, "free");
}

/// A failover that kept the connection brings back an older state. The stream of this state takes
/// the next event, so only the number of entries shows the hole.
async fn run_with_a_hole_does_not_complete(scene: Scene) {
    scene.p.begin("a1").await;
    for event in 1..=3 {
        scene.p.append("a1", event, event).await;
    }
    // The older state lacks events 4 and 5, which were acknowledged.
    scene.p.append("a1", 6, 6).await;
    let expect = |entries| Sync { entries: Some(entries), ..HEAD };
    assert_eq!(scene.p.sync("a1", expect(5)).await, "ok 6 5");
    assert_eq!(scene.p.sync("a1", expect(7)).await, "behind");
    assert_eq!(scene.p.end("a1", completed(6, Some(7))).await, "behind");
    assert_eq!(scene.p.sync("a1", RESTORE).await, "ok 0 1");
    assert_eq!(scene.q.stream("a1").await, ["head"]);
    scene.p.append("a1", 1, 6).await;
    assert_eq!(scene.p.end("a1", completed(6, Some(2))).await, "ended");
}

/// A server that was restored to an older state still has the previous run.
async fn live_run_takes_its_key_back_from_an_earlier_ended_run(scene: Scene) {
    scene.p.begin("a9").await;
    assert_eq!(scene.p.complete("a9", 0).await, "ended");
    assert_eq!(scene.q.check("a10").await, "gone");
    assert_eq!(scene.p.sync("a10", HEAD).await, "behind");
    assert_eq!(scene.p.sync("a10", RESTORE).await, "ok 0 1");
    assert_eq!(scene.q.look().await, "live a10 of p");
    let reply = scene.p.sync("a9", RESTORE).await;
    assert_eq!(reply, "replaced completed, reported", "never the other way");
    assert_eq!(scene.p.complete("a10", 0).await, "ended");
    assert_eq!(scene.p.sync("a8", RESTORE).await, "other");
}

/// The earlier run was live in the older state, and its owner does not know it any more.
async fn run_takes_its_key_back_from_an_earlier_live_run(scene: Scene) {
    scene.p.begin("a9").await;
    assert_eq!(scene.q.check("a10").await, "gone");
    assert_eq!(scene.q.check("a8").await, "other 0");
    assert_eq!(scene.q.end("a10", completed(0, None)).await, "other");
    assert_eq!(scene.q.sync("a10", HEAD).await, "behind");
    assert_eq!(scene.q.sync("a10", RESTORE).await, "ok 0 1");
    assert_eq!(scene.q.look().await, "live a10 of q");
    assert_eq!(scene.p.sync("a9", RESTORE).await, "other");
    assert_eq!(scene.q.check("a9").await, "other 0");
}

/// The claim says that the run completed, and the stream is lost. Whatever is left must not look
/// complete, and the key becomes free for a new call.
async fn completed_run_without_its_stream_is_interrupted(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.p.complete("a1", 0).await, "ended");
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.q.check("a1").await, "ended 0 head");
    assert_eq!(scene.q.stream("a1").await, ["interrupted 0"]);
    let end = scene.q.store.load(&run("a1"), 0).await.unwrap().end.unwrap();
    assert_eq!(end.head.as_deref(), Some(&b"head"[..]));
    assert_eq!(scene.q.claim("a2").await, "claimed");
}

/// The end of the run replaces the key of another type by a stream.
#[tokio::test]
async fn run_whose_stream_has_another_type_can_still_end() {
    for mode in [CANCEL, Release, bury()] {
        let Some(scene) = redis().await else { return };
        scene.p.begin("a1").await;
        scene.world.lose(&stream("a1")).await;
        let _: String = scene.world.server.command(&format!("SET {} text", stream("a1"))).await;
        assert_eq!(scene.p.sync("a1", HEAD).await, "run");
        scene.end("a1", mode).await;
        assert_eq!(scene.world.ids("a1").await, [END_ID]);
        assert_eq!(scene.p.number(), 1, "over the same connection");
    }
}

/// The stream has an end, and the claim is live.
#[tokio::test]
async fn live_claim_of_an_ended_stream_is_ended() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    assert_eq!(scene.p.cancel("a1").await, "ended");
    scene.die().await;
    for command in ["sync", "own", "bury", "check"] {
        scene.world.set("s", "running").await;
        let reply = match command {
            "sync" => scene.p.sync("a1", HEAD).await,
            "check" => scene.q.check("a1").await,
            "own" => scene.p.complete("a1", 0).await,
            _ => scene.q.end("a1", bury()).await,
        };
        let expected = if command == "check" { "ended" } else { "cancelled" };
        assert!(reply.contains(expected), "{command}: {reply}");
        assert_eq!(scene.q.look().await, "cancelled a1", "{command}");
    }
}

/// A process with another version changes nothing.
#[tokio::test]
async fn claim_of_another_version_is_left_alone() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    scene.die().await;
    scene.world.set("v", 3).await;
    let fields =
        async || scene.world.server.command::<Vec<String>>(&format!("HGETALL {CLAIM}")).await;
    let before = fields().await;
    assert_eq!(scene.q.look().await, "version");
    assert_eq!(scene.q.claim("a2").await, "version");
    assert_eq!(scene.q.replace("a1", "a2").await, "version");
    assert_eq!(scene.p.sync("a1", RESTORE).await, "version");
    assert_eq!(scene.q.watch("a1").await, "version");
    for mode in [completed(0, None), Release, CANCEL, bury(), Forget] {
        assert_eq!(scene.p.end("a1", mode.clone()).await, "version", "{mode:?}");
    }
    assert_eq!(fields().await, before);
    assert_eq!(scene.world.ids("a1").await, ["0-1"]);
}
