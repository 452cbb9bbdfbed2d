//! Processes that share one run while nothing breaks.

use super::*;

#[tokio::test(start_paused = true)]
async fn stranger_does_not_find_the_run_at_another_process() {
    let (one, other, _source, _live) = watched(&["secret"]).await;
    let (runs, parts) = (&other.runs, request(Some(&one.id(1))));
    let stranger = RunKey::new("stranger", "turn").unwrap();
    assert!(runs.get(&stranger).await.is_none());
    assert!(runs.answer(&stranger, &parts).await.is_none());
    assert!(!runs.cancel(&stranger, None).await);
    let started = runs.start(&stranger, &parts, stream::pending::<Event>).await;
    assert_eq!(started.unwrap_err(), StartError::NotFound);
}

#[tokio::test(start_paused = true)]
async fn client_that_has_missed_evicted_events_is_refused_at_all_processes() {
    let (one, other) = two_with(|builder| builder.retain_bytes(2_500)).await;
    let (source, large) = (one.start().await.unwrap(), "x".repeat(1_000));
    for _ in 0..5 {
        send(&source, &[&large]);
        sleep(Duration::from_secs(2)).await;
    }
    drop(source);
    sleep(LEASE).await;
    for process in [&one, &other] {
        assert_eq!(process.status(Some(&one.id(1))).await, 404);
        assert_whole(process.attach_after(4).await, &[&large]).await;
    }
}

/// During a rolling deployment with another limit, processes keep different amounts. A run's owner
/// decides how much of it is kept.
#[tokio::test(start_paused = true)]
async fn process_that_keeps_less_than_the_owner_serves_whole_answers() {
    for kept in [64 << 10, 2 << 10] {
        let one = alone(|builder| builder).await;
        let less = |builder: RunsBuilder| builder.retain_bytes(kept);
        let other = Process::at(one.store.beside(1), less).await;
        let texts: Vec<_> = (0..40).map(|at| format!("{at}{}", "x".repeat(4_000))).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        for turn in 0..10 {
            let (key, first) = (key_of(turn), turn * 4);
            let source = one.start_as(&key).await;
            send(&source, &texts[..first]);
            let started = other.try_start(&key, None).await;
            assert!(matches!(started, Ok(None)), "{kept}, {turn}: {:?}", started.err());
            let live = other.attach_as(&key).await;
            for text in &texts[first..] {
                send(&source, &[text]);
                if turn % 2 == 0 {
                    sleep(Duration::from_millis(300)).await;
                }
            }
            drop(source);
            // The client reads nothing before the end.
            sleep(LEASE).await;
            assert_whole(live, &texts).await;
            let (id, run) = (id_of(&one.record(&key), 3), other.get_as(&key).await.unwrap());
            assert_whole(soon(run.attach(id)).await.unwrap(), &texts[3..]).await;
            drop(run);
            sleep(LEASE).await;
            assert!(matches!(other.try_start(&key, None).await, Ok(None)), "{kept}, {turn}");
            assert_whole(other.attach_as(&key).await, &texts).await;
        }
    }
}

/// Each replacement cancels the one before. All processes agree on the last.
#[tokio::test(start_paused = true)]
async fn one_of_simultaneous_replacements_completes() {
    let (one, other, first, live) = watched(&["old"]).await;
    let replacements = (0..5).map(|at| [&other, &one][at % 2].replace());
    let mut sources = join_all(replacements).await;
    assert_fails(live, &[], Some(Outcome::Cancelled)).await;
    sleep(LEASE).await;
    assert!(first.is_closed());
    sources.retain(|source| !source.is_closed());
    assert_eq!(sources.len(), 1);
    send(&sources[0], &["a"]);
    sources.clear();
    for process in [&one, &other] {
        assert_whole(process.attach().await, &["a"]).await;
    }
    let outcomes = [one.outcomes(), other.outcomes()].concat();
    let cancelled = outcomes.iter().filter(|outcome| **outcome == Outcome::Cancelled);
    assert_eq!((cancelled.count(), outcomes.len()), (5, 6), "each is reported once");
}

/// The store would otherwise keep replaced runs for as long as other runs that have ended.
#[tokio::test(start_paused = true)]
async fn owner_deletes_its_replaced_runs_after_two_leases() {
    for (ends, is_own) in [(false, false), (false, true), (true, false), (true, true)] {
        let (one, other, source, live) = watched(&["a"]).await;
        let (run, mut source) = (one.run(), Some(source));
        if ends {
            source = None;
            assert_whole(live, &[]).await;
        }
        let _replacement = if is_own { &one } else { &other }.replace().await;
        assert_eq!(one.store.stream("EXISTS", &run, &[]), ":1");
        sleep(LEASE * 5 / 2).await;
        assert_eq!(one.store.stream("EXISTS", &run, &[]), ":0", "ends: {ends}, {is_own}");
        drop(source);
    }
}
