//! Each way in which a run ends.

use super::*;

scenes!(
    owner_ends_its_run_only_if_the_store_has_exactly_all_events,
    any_process_can_cancel_and_the_owner_is_told,
    only_a_dead_owner_is_buried,
    claim_is_released_only_by_its_process,
    forgotten_run_leaves_nothing_but_the_next_run_of_its_key,
    run_without_a_claim_is_gone,
    end_has_the_head_however_the_run_ends,
);

async fn owner_ends_its_run_only_if_the_store_has_exactly_all_events(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 2).await;
    assert_eq!(scene.p.complete("a1", 3).await, "behind");
    assert_eq!(scene.p.complete("a1", 1).await, "behind");
    let end = async |entries| scene.p.end("a1", completed(2, Some(entries))).await;
    assert_eq!(end(3).await, "behind", "an entry is missing");
    assert_eq!(end(2).await, "ended");
    assert_eq!(end(2).await, "ended", "the reply was lost");
    assert_eq!(scene.q.stream("a1").await, ["head", "1 2", "completed 2"]);
    assert_eq!(scene.q.cancel("a1").await, "over completed");
}

/// The owner exports its events first. It finds the request without the hint too.
async fn any_process_can_cancel_and_the_owner_is_told(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 2).await;
    for lines in ["data: 12\n", "data: late\n"] {
        let mode = EndMode::Cancel { lines: Some(lines.into()) };
        assert_eq!(scene.q.end("a1", mode).await, "live");
    }
    for _ in 0..2 {
        assert_eq!(scene.p.received().await, "hint a1", "the first one can be lost");
    }
    scene.p.has_received_all().await;
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 2 2, stop data: 12\n");
    assert_eq!(scene.p.append("a1", 3, 4).await, "appended 1");
    assert_eq!(scene.p.cancel("a1").await, "ended");
    assert_eq!(scene.q.cancel("a1").await, "over cancelled");
    scene.p.begin("a2").await;
    assert_eq!(scene.p.sync("a2", HEAD).await, "ok 0 1", "nothing asks to stop it");
    assert_eq!(scene.q.cancel("a1").await, "over cancelled", "the next run has the key");
}

/// While a dead owner is listed, only its heir ends its runs. The heir reports an end even if the
/// first reply was lost.
async fn only_a_dead_owner_is_buried(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.append("a1", 1, 2).await;
    let bury_of = async |by: &Process, epoch| by.end(epoch, bury()).await;
    let bury = async |by: &Process| bury_of(by, "a1").await;
    assert_eq!(bury(&scene.q).await, "live");
    scene.die().await;
    assert_eq!(bury(&scene.r).await, "live", "another process is the heir");
    assert_eq!(bury(&scene.q).await, "buried 2");
    assert_eq!(bury(&scene.q).await, "buried 2");
    assert_eq!(scene.p.complete("a1", 2).await, "over interrupted");
    assert_eq!(scene.p.sync("a1", HEAD).await, "over interrupted");
    assert_eq!(scene.p.append("a1", 3, 3).await, "refused");
    // The heir dies before it has reported the end.
    let inherit = |by: &str| DeadProcess { id: ProcessId::from_claim("p"), seen: by.to_owned() };
    assert_eq!(scene.r.store.inherit(&inherit("1")).await, Ok(vec![]), "it has one");
    assert_eq!(scene.r.store.inherit(&inherit("q")).await, Ok(vec![run("a1")]));
    assert_eq!(bury(&scene.q).await, "live");
    assert_eq!(bury(&scene.r).await, "buried 2");
    scene.r.store.reported(&ProcessId::from_claim("p"), &[run("a1")]).await.unwrap();
    assert_eq!(bury(&scene.r).await, "over interrupted", "it has been reported");
    assert_eq!(scene.r.store.inherit(&inherit("r")).await, Ok(vec![]));
    let listed: bool = scene.world.server.command("HEXISTS app:run:processes p").await;
    assert!(!listed);
    // The owner is no longer listed, so any process may end its runs.
    scene.p.begin("b1").await;
    assert_eq!(bury_of(&scene.r, "b1").await, "buried 0");
    assert_eq!(bury_of(&scene.q, "b1").await, "over interrupted");
    // `r` has ended the run without recording its report, so an heir of the owner reports it again.
    assert_eq!(scene.q.store.inherit(&inherit("")).await, Ok(vec![run("b1")]));
    assert_eq!(bury_of(&scene.q, "b1").await, "buried 0");
}

async fn claim_is_released_only_by_its_process(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.q.end("a1", Release).await, "other");
    scene.q.subscribe("a1").await;
    assert_eq!(scene.p.end("a1", Release).await, "freed", "it has not answered");
    assert_eq!(scene.p.end("a1", Release).await, "freed", "the reply was lost");
    assert_eq!(scene.q.received().await, "void");
    assert_eq!(scene.q.check("a1").await, "void");
    assert_eq!(scene.q.claim("a2").await, "claimed");
    assert_eq!(scene.p.end("a1", Release).await, "other", "another run has the key");
    assert_eq!(scene.q.sync("a2", HEAD).await, "ok 0 1");
    assert_eq!(scene.q.end("a2", Release).await, "ended");
}

async fn forgotten_run_leaves_nothing_but_the_next_run_of_its_key(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.p.end("a1", Forget).await, "live");
    assert_eq!(scene.p.complete("a1", 0).await, "ended");
    assert_eq!(scene.p.end("a1", Discard).await, "live", "it has the key");
    assert_eq!(scene.q.stream("a1").await, ["head", "completed 0"]);
    assert_eq!(scene.p.end("a1", Forget).await, "freed");
    assert!(scene.q.stream("a1").await.is_empty());
    assert_eq!(scene.q.look().await, "free");
    scene.p.begin("b0").await;
    for (mode, epoch, next) in [(Discard, "b0", "b1"), (Forget, "b1", "b2")] {
        assert_eq!(scene.q.replace(epoch, next).await, "claimed");
        assert_eq!(scene.p.end(epoch, mode).await, "freed");
        assert_eq!(scene.q.stream(epoch).await.is_empty(), next == "b2", "or it expires soon");
        assert_eq!(scene.q.look().await, format!("live {next} of q"));
    }
}

async fn run_without_a_claim_is_gone(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.world.lose(CLAIM).await;
    for mode in [completed(0, None), Release] {
        assert_eq!(scene.p.end("a1", mode.clone()).await, "gone", "{mode:?}");
    }
    assert_eq!(scene.q.cancel("a1").await, "gone");
    assert!(scene.q.stream("a1").await.is_empty());
    let listed = format!("HEXISTS app:run:ctl@0:p {}", stream("a1"));
    assert!(!scene.world.server.command::<bool>(&listed).await, "no process reports it");
}

/// The owner may have trimmed the head that begins the stream, and another run may have the key.
async fn end_has_the_head_however_the_run_ends(scene: Scene) {
    let end_of = async |epoch, seen| {
        let end = scene.q.store.load(&run(epoch), seen).await.unwrap().end.unwrap();
        let head = end.head.map_or_else(String::new, |head| utf8(&head));
        format!("{} {} {head}", end.outcome, end.error.unwrap_or_default())
    };
    let error = Some("no more tokens".into());
    let failed = EndMode::Own { outcome: Outcome::Failed, error, newest: 2, entries: None };
    for (epoch, mode, reply, expected) in [
        ("a1", Some(failed), "ended", "failed no more tokens head"),
        ("b1", Some(Release), "ended", "interrupted  head"),
        ("c1", None, "claimed", "cancelled  head"),
    ] {
        scene.p.begin(epoch).await;
        scene.p.append(epoch, 1, 1).await;
        scene.p.append(epoch, 2, 2).await;
        assert_eq!(scene.p.trim(epoch, 2).await, "trimmed 2");
        let ended = match mode {
            Some(mode) => scene.p.end(epoch, mode).await,
            None => scene.q.replace(epoch, "d1").await,
        };
        assert_eq!(ended, reply);
        assert_eq!(end_of(epoch, 2).await, expected);
    }
    // `d1` ends before its call has answered, so it has no head.
    assert_eq!(scene.q.cancel("d1").await, "ended");
    assert_eq!(end_of("d1", 0).await, "cancelled  ");
}

// After an end, the store refuses every event of the run.

scenes!(nothing_is_appended_after_any_end, batch_that_was_sent_twice_is_refused);

async fn nothing_is_appended_after_any_end(scene: Scene) {
    let modes = [completed(1, None), CANCEL, bury(), Release].map(Some);
    for (at, mode) in modes.into_iter().chain([None]).enumerate() {
        let epoch = format!("a{at}");
        scene.p.begin(&epoch).await;
        scene.p.append(&epoch, 1, 1).await;
        let case = format!("{mode:?}");
        match mode {
            None => assert_eq!(scene.q.replace(&epoch, "b1").await, "claimed"),
            Some(mode) => scene.end(&epoch, mode).await,
        }
        for last in [2, 1_000, u64::MAX] {
            assert_eq!(scene.p.append(&epoch, 2, last).await, "refused", "{case}");
        }
        let reply = scene.p.sync(&epoch, RESTORE).await;
        let is_over = reply.starts_with("over ") || reply.starts_with("replaced ");
        assert!(is_over, "{case}: {reply}");
        let stream = scene.q.stream(&epoch).await;
        assert_eq!(stream[..2], ["head", "1 1"], "{case}");
        assert_eq!(stream.len(), 3, "{case}: {stream:?}");
        assert_eq!(scene.p.end(&epoch, Forget).await, "freed", "{case}");
    }
}

async fn batch_that_was_sent_twice_is_refused(scene: Scene) {
    scene.p.begin("a1").await;
    assert_eq!(scene.p.append("a1", 1, 5).await, "appended 1");
    assert_eq!(scene.p.append("a1", 1, 5).await, "refused");
    assert_eq!(scene.p.append("a1", 1, 4).await, "refused");
}

/// A hint can be lost, so the owner's next beat has what others ask for.
#[tokio::test]
async fn stops_and_replacements_come_with_the_owners_next_beat() {
    let Some(scene) = Scene::start(Duration::from_secs(5)).await else { return };
    // No process reads what is asked of one that is not listed.
    let _: u32 = scene.world.server.command("HSET app:run:processes gone:a1 +").await;
    scene.p.begin("a1").await;
    for hint in ["hint a1", "replaced a1"] {
        if hint == "hint a1" {
            assert_eq!(scene.q.cancel("a1").await, "live");
        } else {
            assert_eq!(scene.q.replace("a1", "a2").await, "claimed");
        }
        assert_eq!(scene.p.received().await, hint);
        assert_eq!(scene.p.received().await, "asked a1");
    }
    let fields: Vec<String> = scene.world.server.command("HKEYS app:run:processes").await;
    assert_eq!(fields, ["p", "q", "r"]);
}

/// The claim has expired, or was deleted. The stream may still be there.
#[tokio::test]
async fn run_without_a_claim_is_interrupted_while_it_is_listed() {
    for keeps_stream in [true, false] {
        let Some(scene) = redis().await else { return };
        scene.p.begin("a1").await;
        assert_eq!(scene.p.append("a1", 1, 2).await, "appended 1");
        scene.world.lose(CLAIM).await;
        if !keeps_stream {
            scene.world.lose(&stream("a1")).await;
        }
        let newest = if keeps_stream { 2 } else { 0 };
        assert_eq!(scene.q.end("a1", bury()).await, "live", "its owner may be there");
        scene.die().await;
        let ended = format!("buried {newest}");
        for _ in 0..2 {
            assert_eq!(scene.q.end("a1", bury()).await, ended);
        }
        assert!(scene.world.ids("a1").await.ends_with(&[END_ID.to_owned()]));
        scene.q.store.reported(&ProcessId::from_claim("p"), &[run("a1")]).await.unwrap();
        assert_eq!(scene.q.end("a1", bury()).await, "gone", "it is reported");
        let over = scene.p.sync("a1", RESTORE).await;
        assert!(over.starts_with("over interrupted"), "{over}");
    }
}
