//! Each way in which a run ends.

use super::*;

scenes!(Scene:
    owner_ends_its_run_only_if_the_store_has_exactly_all_events,
    owner_without_all_events_ends_its_run_as_interrupted,
    only_a_call_without_an_answer_can_be_voided,
    any_process_can_cancel_and_the_owner_is_told,
    run_that_is_stopped_is_interrupted_if_its_owner_is_dead,
    only_a_dead_owner_is_buried,
    unknown_claim_is_released_only_by_its_process,
    forgotten_run_leaves_nothing,
    run_whose_key_has_another_run_is_forgotten_alone,
    run_without_a_claim_is_gone,
    end_has_the_head_however_the_run_ends,
);

async fn owner_ends_its_run_only_if_the_store_has_exactly_all_events(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.complete("a1", 3).await, "behind");
    assert_eq!(scene.complete("a1", 1).await, "behind");
    let end = async |entries| scene.end("a1", "p", completed_with(2, Some(entries))).await;
    assert_eq!(end(3).await, "behind", "an entry is missing");
    assert_eq!(end(2).await, "ended completed 2");
    assert_eq!(end(2).await, "ended completed 2", "the reply was lost");
    assert_eq!(scene.stream("a1").await, ["head", "1 2", "completed 2"]);
    assert_eq!(scene.cancel("a1", "q").await, "over completed");
}

/// Otherwise, an owner that no longer has its last events would be behind for ever.
async fn owner_without_all_events_ends_its_run_as_interrupted(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.complete("a1", 5).await, "behind");
    assert_eq!(scene.end("a1", "p", EndMode::Lost).await, "ended interrupted 2");
    assert_eq!(scene.look().await, "interrupted a1");
    assert_eq!(scene.check("a1").await, "interrupted 2 head");
}

async fn only_a_call_without_an_answer_can_be_voided(scene: Scene) {
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    scene.subscribe("q", "a1").await;
    assert_eq!(scene.end("a1", "p", EndMode::Void).await, "freed");
    assert_eq!(scene.end("a1", "p", EndMode::Void).await, "freed", "the reply was lost");
    assert_eq!(scene.received("q").await, "void");
    assert_eq!(scene.check("a1").await, "void");
    scene.begin("a2").await;
    assert_eq!(scene.end("a2", "p", EndMode::Void).await, "running");
}

/// The owner exports its events first. It finds the request without the hint too.
async fn any_process_can_cancel_and_the_owner_is_told(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.renew("a1", "p", Some(2)).await, "renewed");
    for lines in ["data: 12\n", "data: late\n"] {
        let mode = EndMode::Cancel { lines: Some(lines.into()) };
        assert_eq!(scene.end("a1", "q", mode).await, "live");
    }
    assert_eq!(scene.received("p").await, "hint a1");
    scene.has_received_all("p").await;
    assert_eq!(scene.renew("a1", "p", Some(2)).await, "unsure");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 2 2, stop data: 12\n");
    assert_eq!(scene.append("a1", 3, 4).await, "appended 1");
    assert_eq!(scene.cancel("a1", "p").await, "ended cancelled 4");
    assert_eq!(scene.cancel("a1", "q").await, "over cancelled");
    scene.begin("a2").await;
    assert_eq!(scene.renew("a2", "p", Some(1)).await, "renewed", "nothing asks to stop it");
}

/// The process that stopped it reports its end, as one that buried it does.
async fn run_that_is_stopped_is_interrupted_if_its_owner_is_dead(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 2).await;
    assert_eq!(scene.cancel("a1", "q").await, "live");
    scene.expire().await;
    assert_eq!(scene.cancel("a1", "q").await, "late 1500");
    scene.die().await;
    assert_eq!(scene.cancel("a1", "q").await, "ended interrupted 2");
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "ended interrupted 2");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "over interrupted");
    assert_eq!(scene.append("a1", 3, 3).await, "refused");
}

/// The process that buried the run reports its end even if its first reply was lost.
async fn only_a_dead_owner_is_buried(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "live");
    scene.expire().await;
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "late 1500");
    scene.die().await;
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "ended interrupted 0");
    assert_eq!(scene.end("a1", "q", EndMode::Bury).await, "ended interrupted 0");
    assert_eq!(scene.end("a1", "r", EndMode::Bury).await, "over interrupted");
    assert_eq!(scene.complete("a1", 0).await, "over interrupted");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "over interrupted");
}

async fn unknown_claim_is_released_only_by_its_process(scene: Scene) {
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    assert_eq!(scene.end("a1", "q", EndMode::Release).await, "other 0");
    assert_eq!(scene.end("a1", "p", EndMode::Release).await, "freed", "it was never called");
    assert_eq!(scene.claim("a2", "q").await, "claimed");
    assert_eq!(scene.end("a1", "p", EndMode::Release).await, "other 0", "another run has the key");
    assert_eq!(scene.sync("a2", "q", HEAD).await, "ok 0 1");
    assert_eq!(scene.end("a2", "q", EndMode::Release).await, "ended interrupted 0");
}

async fn forgotten_run_leaves_nothing(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.end("a1", "p", EndMode::Forget).await, "running");
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.end("a1", "p", EndMode::Forget).await, "freed");
    assert!(scene.stream("a1").await.is_empty());
    assert_eq!(scene.look().await, "free");
}

async fn run_whose_key_has_another_run_is_forgotten_alone(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.end("a1", "p", EndMode::Forget).await, "freed");
    assert!(scene.stream("a1").await.is_empty());
    assert_eq!(scene.look().await, "live a2 of q");
}

async fn run_without_a_claim_is_gone(scene: Scene) {
    let modes = [completed(0), EndMode::Lost, EndMode::Void, EndMode::Release, EndMode::Bury];
    for mode in modes {
        assert_eq!(scene.end("a1", "p", mode.clone()).await, "gone", "{mode:?}");
    }
    assert_eq!(scene.cancel("a1", "q").await, "gone");
    assert!(scene.stream("a1").await.is_empty());
}

/// The owner may have trimmed the first one, and another run may have the key.
async fn end_has_the_head_however_the_run_ends(scene: Scene) {
    let head = async |epoch, seen| {
        let end = scene.q.store.load(&run(epoch), seen).await.unwrap().end.unwrap();
        (end.outcome, end.error.map(|it| it.to_string()), end.head.map(|it| it.len()))
    };
    let failed = EndMode::Own {
        outcome: Outcome::Failed,
        error: Some("no more tokens".into()),
        newest: 2,
        entries: None,
    };
    let message = Some("no more tokens".to_owned());
    for (epoch, mode, expected) in [
        ("a1", Some(failed), (Outcome::Failed, message, Some(4))),
        ("b1", Some(EndMode::Lost), (Outcome::Interrupted, None, Some(4))),
        ("c1", None, (Outcome::Cancelled, None, Some(4))),
    ] {
        scene.begin(epoch).await;
        scene.append(epoch, 1, 1).await;
        scene.append(epoch, 2, 2).await;
        assert_eq!(scene.trim(epoch, 2).await, "trimmed 2");
        match mode {
            Some(mode) => assert!(scene.end(epoch, "p", mode).await.starts_with("ended ")),
            None => assert_eq!(scene.replace(epoch, "d1", "q").await, "claimed"),
        }
        assert_eq!(head(epoch, 2).await, expected, "{epoch}");
    }
    // It ended before its call had answered.
    assert_eq!(scene.cancel("d1", "q").await, "ended cancelled 0");
    assert_eq!(head("d1", 0).await, (Outcome::Cancelled, None, None));
}

// After an end, the store refuses every event of the run.

scenes!(Scene: nothing_is_appended_after_any_end, batch_that_was_sent_twice_is_refused);

async fn nothing_is_appended_after_any_end(scene: Scene) {
    let modes = [completed(1), EndMode::Lost, CANCEL, EndMode::Bury, EndMode::Release].map(Some);
    for (at, mode) in modes.into_iter().chain([None]).enumerate() {
        let epoch = format!("a{at}");
        scene.begin(&epoch).await;
        scene.append(&epoch, 1, 1).await;
        let case = format!("{mode:?}");
        match mode {
            None => assert_eq!(scene.replace(&epoch, "b1", "q").await, "claimed"),
            Some(mode) => {
                if matches!(mode, EndMode::Bury) {
                    scene.die().await;
                }
                let reply = scene.end(&epoch, "p", mode).await;
                assert!(reply.starts_with("ended "), "{case}: {reply}");
            }
        }
        for last in [2, 1_000, u64::MAX] {
            assert_eq!(scene.append(&epoch, 2, last).await, "refused", "{case}");
        }
        let reply = scene.sync(&epoch, "p", RESTORE).await;
        let is_over = reply.starts_with("over ") || reply.starts_with("replaced ");
        assert!(is_over, "{case}: {reply}");
        let stream = scene.stream(&epoch).await;
        assert_eq!(stream[..2], ["head", "1 1"], "{case}");
        assert_eq!(stream.len(), 3, "{case}: {stream:?}");
        assert_eq!(scene.end(&epoch, "p", EndMode::Forget).await, "freed", "{case}");
    }
}

async fn batch_that_was_sent_twice_is_refused(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.append("a1", 1, 5).await, "appended 1");
    assert_eq!(scene.append("a1", 1, 5).await, "refused");
    assert_eq!(scene.append("a1", 1, 4).await, "refused");
}
