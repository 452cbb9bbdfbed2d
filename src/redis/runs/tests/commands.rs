//! Each command and its replies.

use super::*;

#[tokio::test]
async fn run_is_claimed_found_and_replaced() {
    let Some((server, p, q)) = two().await else { return };
    let (first, second) = (run("name", "k1"), run("name", "k2"));
    assert_eq!(q.execute(look(&first)).await, Reply::Look(LookReply::Free));
    p.begin(&first).await;
    for command in [look(&second), claim(&second)] {
        let (run, process) = (first.clone(), ProcessId::from_claim("p"));
        let live = LookReply::Live { run, process, liveness: Liveness::Alive };
        assert_eq!(q.execute(command).await, Reply::Look(live));
    }
    assert_eq!(q.execute(replace(&second, &second)).await, Reply::Look(LookReply::Changed));
    assert_eq!(q.execute(replace(&second, &first)).await, Reply::Look(LookReply::Claimed));
    let cancelled = SyncReply::Over { outcome: Outcome::Cancelled, event: None };
    assert_eq!(p.execute(sync(&first)).await, Reply::Sync(cancelled));
    let _: usize = server.command("DEL app:run:{owner:name}:k1").await;
    assert_eq!(p.execute(sync(&first)).await, Reply::Sync(SyncReply::Other));
}

#[tokio::test]
async fn completed_run_is_loaded_page_by_page() {
    let Some((_server, p, q)) = two().await else { return };
    let name = run("name", "k1");
    p.begin(&name).await;
    let mut entries = 1;
    for last in 1..=300 {
        // Every tenth batch is followed by an empty entry.
        let bytes = if last % 10 == 0 { "x".repeat(5_000) } else { format!("event {last}") };
        let reply = p.execute(append(&name, last, last, bytes)).await;
        let Reply::Append(AppendReply::Appended { entries: added }) = reply else {
            panic!("{reply:?}")
        };
        entries += added;
    }
    assert_eq!(entries, 331);
    let (newest, counted, _) = p.in_step(sync(&name)).await;
    assert_eq!((newest, counted), (300, entries));
    let ended = p.end(&name, completed(300)).await;
    assert_eq!(ended, EndReply::Ended { outcome: Outcome::Completed, newest: 300 });

    let (mut events, mut pages) = (0, 0);
    let end = loop {
        let page = q.store.load(&name, events).await.unwrap();
        pages += 1;
        assert_eq!(page.head.is_some(), events == 0);
        for batch in page.batches {
            assert_eq!((batch.first, batch.last), (events + 1, events + 1));
            events = batch.last;
        }
        if let Some(end) = page.end {
            assert!(page.is_last);
            break end;
        }
    };
    assert_eq!((events, end.newest, end.outcome), (300, 300, Outcome::Completed));
    assert_eq!(pages, 3, "of up to 64 KiB");
    let page = q.store.load(&name, 300).await.unwrap();
    assert!(page.batches.is_empty() && page.end.is_some());
}

#[tokio::test]
async fn state_of_a_run_is_checked() {
    let Some((_server, p, q)) = two().await else { return };
    let name = run("name", "k1");
    assert_eq!(q.execute(check(&name)).await, Reply::Check(CheckReply::Gone));
    _ = p.execute(claim(&name)).await;
    let starting = CheckReply::Starting(Liveness::Alive);
    assert_eq!(q.execute(check(&name)).await, Reply::Check(starting));
    _ = p.execute(sync(&name)).await;
    _ = p.execute(append(&name, 1, 4, "events")).await;
    let head = Some("head".into());
    let running = CheckReply::Running { newest: 4, liveness: Liveness::Alive, head };
    assert_eq!(q.execute(check(&name)).await, Reply::Check(running));
    let (_, _, watched) = p.in_step(sync(&name)).await;
    assert!(watched > Duration::from_millis(500), "{watched:?}");

    let failed = EndMode::Own {
        outcome: Outcome::Failed,
        error: Some(Arc::from("no more tokens")),
        newest: 4,
        entries: Some(2),
    };
    assert!(matches!(p.end(&name, failed).await, EndReply::Ended { newest: 4, .. }));
    let head = Some("head".into());
    let ended = CheckReply::Ended { newest: 4, outcome: Outcome::Failed, head };
    assert_eq!(q.execute(check(&name)).await, Reply::Check(ended));
    let end = q.store.load(&name, 4).await.unwrap().end.unwrap();
    assert_eq!(end.error.as_deref(), Some("no more tokens"));
}

#[tokio::test]
async fn old_batches_are_trimmed_and_counted() {
    let Some((_server, p, name)) = begun().await else { return };
    for last in [10, 20, 30] {
        _ = p.execute(append(&name, last - 9, last, "x".repeat(5_000))).await;
    }
    assert_eq!(p.execute(trim(&name, 20)).await, Reply::Trim { entries: 3 });
    let page = p.store.load(&name, 0).await.unwrap();
    assert_eq!(page.head, None);
    assert_eq!((page.batches[0].first, page.batches[0].last), (11, 20));
}

/// The owner may have trimmed the first one, and another run may have the key.
#[tokio::test]
async fn end_has_the_head_however_the_run_ends() {
    let Some((server, p, q)) = two().await else { return };
    for (name, mode) in
        [("own", Some(completed(2))), ("lost", Some(EndMode::Lost)), ("other", None)]
    {
        let (first, second) = (run(name, "k1"), run(name, "k2"));
        p.begin(&first).await;
        for last in [1, 2] {
            _ = p.execute(append(&first, last, last, "event")).await;
        }
        _ = p.execute(trim(&first, 2)).await;
        match mode {
            Some(mode) => assert!(matches!(p.end(&first, mode).await, EndReply::Ended { .. })),
            None => _ = q.execute(replace(&second, &first)).await,
        }
        let end = q.store.load(&first, 2).await.unwrap().end.unwrap();
        assert_eq!(end.head.as_deref(), Some(&b"head"[..]), "{name}");
    }
    // The stream was lost, and the check ends it.
    let _: u32 = server.command("DEL app:run:{owner:own}:k1").await;
    let lost = run("own", "k1");
    _ = q.execute(check(&lost)).await;
    let end = q.store.load(&lost, 0).await.unwrap().end.unwrap();
    assert_eq!((end.outcome, end.head.as_deref()), (Outcome::Interrupted, Some(&b"head"[..])));
    // It ended before its call had answered.
    let early = run("early", "k1");
    _ = p.execute(claim(&early)).await;
    _ = p.end(&early, EndMode::Cancel { lines: None }).await;
    assert_eq!(q.store.load(&early, 0).await.unwrap().end.unwrap().head, None);
}

#[tokio::test]
async fn each_way_to_end_has_its_reply() {
    let Some((_server, p, q)) = two().await else { return };
    let name = run("name", "k1");
    assert_eq!(p.end(&name, EndMode::Cancel { lines: None }).await, EndReply::Gone);
    p.begin(&name).await;
    assert_eq!(p.end(&name, completed(9)).await, EndReply::Behind);
    assert_eq!(p.end(&name, EndMode::Void).await, EndReply::Running);
    assert_eq!(p.end(&name, EndMode::Forget).await, EndReply::Running);
    assert_eq!(q.end(&name, EndMode::Bury).await, EndReply::NotDead(Liveness::Alive));
    assert_eq!(q.end(&name, EndMode::Release).await, EndReply::Other);
    let cancelled = EndReply::Ended { outcome: Outcome::Cancelled, newest: 0 };
    assert_eq!(q.end(&name, EndMode::Cancel { lines: None }).await, cancelled);
    assert_eq!(p.end(&name, EndMode::Lost).await, EndReply::Over(Outcome::Cancelled));
    assert_eq!(p.end(&name, EndMode::Forget).await, EndReply::Freed);
    _ = p.execute(claim(&name)).await;
    assert_eq!(p.end(&name, EndMode::Void).await, EndReply::Freed);
}

#[tokio::test]
async fn lost_claim_is_restored_and_refused_batches_are_reported() {
    let Some((server, p, name)) = begun().await else { return };
    _ = p.execute(append(&name, 1, 1, "event")).await;
    let _: String = server.command("FLUSHALL").await;
    let second = append(&name, 2, 2, "event");
    assert_eq!(p.execute(second).await, Reply::Append(AppendReply::Refused));
    assert_eq!(p.execute(sync(&name)).await, Reply::Sync(SyncReply::Gone));
    let (newest, entries, _) = p.in_step(restore(&name)).await;
    assert_eq!((newest, entries), (0, 1));
    _ = p.execute(append(&name, 1, 2, "events")).await;
    let second = append(&name, 2, 2, "event");
    assert_eq!(p.execute(second).await, Reply::Append(AppendReply::Refused));
}

/// One call can have any number of commands. They are executed in their order.
#[tokio::test]
async fn commands_of_a_large_call_keep_their_order() {
    let Some((server, p, name)) = begun().await else { return };
    let batch = |last| append(&name, last, last, "x".repeat(3_000));
    let commands: Vec<_> = (1..=1_200).map(batch).collect();
    let _: String = server.command("CONFIG RESETSTAT").await;
    for result in p.store.execute(Some(1), commands).await {
        assert_eq!(result.unwrap(), Reply::Append(AppendReply::Appended { entries: 1 }));
    }
    assert_eq!(server.command::<usize>("XLEN app:run:{owner:name}:k1").await, 1_201);
}

#[tokio::test]
async fn run_of_another_version_is_refused() {
    let Some((server, p, name)) = begun().await else { return };
    _ = server.command::<u32>("HSET app:run:{owner:name} v 2").await;
    for command in [look(&name), sync(&name), check(&name)] {
        let error = p.try_execute(command).await.unwrap_err();
        assert!(matches!(error, StoreError::Version), "{error}");
    }
}

/// A claim that cannot be renewed does not concern the others, and each run gets its own reply.
#[tokio::test]
async fn leases_are_renewed_together() {
    let Some((server, p, q)) = two().await else { return };
    let runs: Vec<_> = (0..100).map(|number| run(&format!("n{number}"), "k1")).collect();
    for run in &runs {
        p.begin(run).await;
    }
    _ = q.execute(check(&runs[3])).await;
    assert!(matches!(
        q.end(&runs[60], EndMode::Cancel { lines: None }).await,
        EndReply::Ended { .. }
    ));
    let _: String = server.command("SET app:run:{owner:n80} text").await;

    let _: String = server.command("CONFIG RESETSTAT").await;
    let mut commands: Vec<_> = runs.iter().map(renew).collect();
    commands.insert(70, look(&runs[0]));
    let mut replies = p.store.execute(None, commands).await;
    assert!(matches!(replies.remove(70), Ok(Reply::Look(LookReply::Live { .. }))));
    for (number, reply) in replies.into_iter().enumerate() {
        let Ok(Reply::Renew(reply)) = reply else { panic!("{number}: {reply:?}") };
        match (number, reply) {
            (60 | 80, RenewReply::Unsure) => {}
            (3, RenewReply::Renewed { watched }) => assert!(!watched.is_zero()),
            (_, RenewReply::Renewed { watched }) => assert!(watched.is_zero(), "{number}"),
            other => panic!("{other:?}"),
        }
    }
    let stats: String = server.command("INFO commandstats").await;
    // 64 and 6 renewals, the look, and 30 renewals.
    assert!(stats.contains("cmdstat_evalsha:calls=4,"), "{stats}");
}

/// A stream that is not as its owner expects leaves the lease as it is.
#[tokio::test]
async fn lease_of_a_run_with_another_stream_is_not_renewed() {
    let Some((server, p, name)) = begun().await else { return };
    let deadline = async || server.command::<u64>("HGET app:run:{owner:name} l").await;
    _ = server.command::<u32>("HSET app:run:{owner:name} l 5").await;
    _ = p.execute(append(&name, 1, 1, "event")).await;
    let reply = p.execute(renew(&name)).await;
    assert!(matches!(reply, Reply::Renew(RenewReply::Unsure)), "{reply:?}");
    let _: u32 = server.command("DEL app:run:{owner:name}:k1").await;
    let reply = p.execute(renew(&name)).await;
    assert!(matches!(reply, Reply::Renew(RenewReply::Unsure)), "{reply:?}");
    assert_eq!(deadline().await, 5);
}

/// A run that cannot be checked does not concern the others, and each run gets its own reply.
#[tokio::test]
async fn runs_are_checked_together() {
    let Some((server, p, q)) = two().await else { return };
    let runs: Vec<_> = (0..70).map(|number| run(&format!("n{number}"), "k1")).collect();
    for run in &runs {
        p.begin(run).await;
    }
    _ = p.execute(append(&runs[3], 1, 9, "events")).await;
    assert!(matches!(
        p.end(&runs[20], EndMode::Cancel { lines: None }).await,
        EndReply::Ended { .. }
    ));
    let _: String = server.command("SET app:run:{owner:n40} text").await;
    let _: u32 = server.command("HSET app:run:{owner:n50} v 2").await;

    let _: String = server.command("CONFIG RESETSTAT").await;
    let mut commands: Vec<_> = runs.iter().map(check).collect();
    commands.insert(35, look(&runs[0]));
    let mut replies = q.store.execute(None, commands).await;
    assert!(matches!(replies.remove(35), Ok(Reply::Look(LookReply::Live { .. }))));
    for (number, reply) in replies.into_iter().enumerate() {
        let newest = if number == 3 { 9 } else { 0 };
        let is_expected = match number {
            20 => matches!(
                reply,
                Ok(Reply::Check(CheckReply::Ended { outcome: Outcome::Cancelled, .. }))
            ),
            40 => matches!(&reply, Err(StoreError::Run(text)) if text.starts_with("WRONGTYPE")),
            50 => matches!(reply, Err(StoreError::Version)),
            _ => matches!(
                reply,
                Ok(Reply::Check(CheckReply::Running { newest: found, head: Some(_), .. })) if found == newest
            ),
        };
        assert!(is_expected, "{number}: {reply:?}");
    }
    let stats: String = server.command("INFO commandstats").await;
    // 32 and 3 checks, the look, 32 and 3 checks.
    assert!(stats.contains("cmdstat_evalsha:calls=5,"), "{stats}");
    let reply = p.execute(renew(&runs[69])).await;
    let Reply::Renew(RenewReply::Renewed { watched }) = reply else { panic!("{reply:?}") };
    assert!(!watched.is_zero());
}
