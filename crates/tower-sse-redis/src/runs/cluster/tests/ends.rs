use super::*;

/// The run's process keeps ended runs for no time, or for less time than a call of the store takes.
#[tokio::test(start_paused = true)]
async fn run_that_ends_while_the_store_is_slow_reaches_other_processes() {
    for (retained, delay) in [(0, 0), (1, 2)] {
        let retained = Duration::from_secs(retained);
        let (one, _other, source, live) =
            watched_with(&["a"], |builder| builder.retain_for(retained)).await;
        one.store.faults().delay = Duration::from_secs(delay);
        finish(source, &["b", "c"]);
        assert_whole(live, &["b", "c"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_forgotten_before_its_export_is_never_completed_elsewhere() {
    let (one, _other, source, live) = watched(&["a"]).await;
    one.store.go_away();
    finish(source, &["b"]);
    sleep(Duration::from_millis(10)).await;
    assert!(one.get().await.is_none(), "it has ended, and the store cannot be reached");
    // The next run with the key, which never starts.
    let process = Arc::clone(&one.store.cluster().process);
    process.enter(&process.reserve(&KEY, None).unwrap(), None);
    one.store.come_back().await;
    assert_fails(live, &[], Some(Outcome::Interrupted)).await;
}

#[tokio::test(start_paused = true)]
async fn runs_of_two_keys_with_one_epoch_are_not_mixed() {
    let (one, other, source, live) = watched(&["a"]).await;
    let epoch = one.epoch();
    let stranger = RunId::new(RunKey::new("other", "turn").unwrap(), epoch);
    let bytes = format!("data: stolen\nid: {epoch}-2\n\n").into();
    let push = Push::Batch(Batch { first: 2, last: 2, bytes });
    other.store.cluster().mirrors.push(&stranger, &push);
    finish(source, &["b"]);
    assert_whole(live, &["b"]).await;
}

/// A process that was paused finds an event in its socket. The store has lost the run's stream, which
/// has the handler's options.
#[tokio::test(start_paused = true)]
async fn event_of_a_run_without_options_reaches_no_client() {
    let (one, other) = two().await;
    let _answer = one.call();
    sleep(Duration::from_secs(1)).await;
    let run = other.get().await.expect("a run");
    let bytes = format!("data: a\nid: {}-1\n\n", one.epoch()).into();
    let push = Push::Batch(Batch { first: 1, last: 1, bytes });
    other.store.cluster().mirrors.push(&one.run(), &push);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(run.messages().map(|messages| messages.len()), Some(0));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_the_runs_events_fail_the_client() {
    let lacking = "data: b\nid: E-2\n\ndata: d\nid: E-4\n\n";
    for (last, bytes, expected) in [(2, "data: forged\n\n", &[][..]), (4, lacking, &["b"])] {
        let (one, other, _source, live) = watched(&["a"]).await;
        let bytes = bytes.replace('E', &one.epoch().to_string()).into();
        let push = Push::Batch(Batch { first: 2, last, bytes });
        other.store.cluster().mirrors.push(&one.run(), &push);
        let (data, error) = read_all(live).await;
        assert_eq!(data, expected);
        assert!(error.is_some());
    }
}

const USAGE: &str = "12 tokens";

async fn cancel(process: &Process) -> bool {
    soon(process.runs.cancel_with(&KEY, None, Event::from(USAGE))).await
}

/// Creates two processes, and starts a run whose second event is not exported. A client of the
/// owner has read that event.
async fn ahead() -> (Process, Process, Source, tower_sse::runs::Attachment) {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(3)).await;
    let mut live = one.attach().await;
    send(&source, &["b"]);
    assert_eq!(read(&mut live, 2).await, ["a", "b"]);
    (one, other, source, live)
}

/// Asserts that both processes replay the events `expected` of a run that was stopped, from the
/// beginning and after each id.
async fn assert_same(processes: [&Process; 2], expected: &[&str]) {
    for process in processes {
        let run = process.get().await.unwrap();
        assert_fails(run.attach(None).await.unwrap(), expected, Some(Outcome::Cancelled)).await;
        for seen in 1..=expected.len() {
            let resumed = process.attach_after(seen as u64).await;
            assert_fails(resumed, &expected[seen..], Some(Outcome::Cancelled)).await;
        }
        let messages = run.messages().unwrap();
        let ids: Vec<_> = messages.into_iter().map(|it| it.last_event_id.to_string()).collect();
        let all = (1..=expected.len() as u64).map(|number| process.id(number).as_str().to_owned());
        assert_eq!(ids, all.collect::<Vec<_>>());
    }
}

/// The run is stopped at its owner, or elsewhere: with the hint to the owner, without it, or while
/// the owner cannot reach the store.
#[tokio::test(start_paused = true)]
async fn every_replay_after_a_stop_has_what_a_client_saw() {
    for (is_own, loses_hint, is_away) in [
        (true, false, false),
        (true, false, true),
        (false, false, false),
        (false, true, false),
        (false, false, true),
    ] {
        for usage in [None, Some(USAGE)] {
            let (one, other, _source, live) = ahead().await;
            one.store.faults().loses_pushes = loses_hint;
            let away = is_away.then(|| one.store.leave_for(Duration::from_secs(3)));
            let stopping = if is_own { &one } else { &other };
            let stop = async {
                if usage.is_some() { cancel(stopping).await } else { stopping.cancel().await }
            };
            assert!(join(OptionFuture::from(away), stop).await.1);
            assert_fails(live, usage.as_slice(), Some(Outcome::Cancelled)).await;
            let all: Vec<_> = ["a", "b"].into_iter().chain(usage).collect();
            assert_same([&other, &one], &all).await;
            let end = one.ends.lock().unwrap()[0].clone();
            assert_eq!((end.outcome, end.events), (Outcome::Cancelled, all.len() as u64));
            assert!(!cancel(&one).await && !other.cancel().await);
        }
    }
}

/// A process that was cut off for so long that it counts as dead replays what all others have.
#[tokio::test(start_paused = true)]
async fn replays_are_the_same_after_a_stop_that_the_owner_missed() {
    for completes in [false, true] {
        let (one, other, source, live) = ahead().await;
        one.store.go_away();
        assert!(!cancel(&other).await, "the run is interrupted");
        if completes {
            drop(source);
            sleep(Duration::from_millis(1)).await;
        }
        one.store.come_back().await;
        sleep(Duration::from_secs(1)).await;
        if !completes {
            assert_fails(live, &[], Some(Outcome::Interrupted)).await;
        }
        for process in [&other, &one] {
            let run = process.get().await.unwrap();
            let replay = run.attach(None).await.unwrap();
            assert_fails(replay, &["a"], Some(Outcome::Interrupted)).await;
            let ahead = run.attach(process.id(2)).await.unwrap();
            assert_fails(ahead, &[], Some(Outcome::Interrupted)).await;
        }
        let told = (one.outcomes(), other.outcomes());
        let by_owner = if completes { vec![Outcome::Completed] } else { vec![] };
        assert_eq!(told, (by_owner, vec![Outcome::Interrupted]));
    }
}

/// The hint to the owner is lost, and the request comes before the owner's next beat.
#[tokio::test(start_paused = true)]
async fn next_run_at_the_owner_cancels_one_that_was_stopped_elsewhere() {
    for is_replaced in [false, true] {
        let (one, other, first) = started(&["a"]).await;
        let mut client = one.attach().await;
        read(&mut client, 1).await;
        one.store.faults().loses_pushes = true;
        if is_replaced {
            let second = other.replace().await;
            second.send(Err("broken")).unwrap();
            sleep(Duration::from_millis(20)).await;
        } else {
            assert!(other.cancel().await);
        }
        let next = soon(one.start()).await.expect("the key is free");
        assert_fails(client, &[], Some(Outcome::Cancelled)).await;
        assert!(first.is_closed(), "the source is dropped");
        assert_eq!(one.outcomes(), [Outcome::Cancelled]);
        drop(next);
        assert_whole(other.attach().await, &[]).await;
    }
}

/// The owner learns of the stop or the replacement from the store, at whatever time between two
/// beats and two looks it happens.
#[tokio::test(start_paused = true)]
async fn stop_or_replacement_whose_hint_is_lost_is_found_within_a_lease() {
    const PHASES: u32 = 37;
    for phase in 0..PHASES {
        for is_replaced in [false, true] {
            let (one, other, source) = started(&["a"]).await;
            sleep(LEASE + LEASE * phase / PHASES).await;
            one.store.faults().loses_pushes = true;
            let asked = Instant::now();
            // One request: a process that waits for a stop asks again and again.
            let _second = if is_replaced {
                Some(other.replace().await)
            } else {
                let mode = EndMode::Cancel { lines: None };
                let stop = other.store.cluster().end(&one.run(), mode).await;
                assert_eq!(stop, Ok(EndReply::Live));
                None
            };
            soon(source.closed()).await;
            assert!(asked.elapsed() <= LEASE, "{phase}, {is_replaced}: {:?}", asked.elapsed());
            assert_eq!(one.outcomes(), [Outcome::Cancelled]);
        }
    }
}

/// If the hint were ignored, the run would continue until the owner's next beat.
#[tokio::test(start_paused = true)]
async fn stop_during_a_sync_ends_the_run_at_once() {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_millis(1500)).await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    one.store.cluster().exports.synchronize(one.epoch());
    sleep(Duration::from_millis(50)).await;
    assert!(other.cancel().await);
    sleep(Duration::from_millis(300)).await;
    assert!(source.is_closed(), "the source is dropped");
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
}

/// The run has no event whose export would reveal that the store lacks the run's head.
#[tokio::test(start_paused = true)]
async fn idle_run_that_begins_during_a_sync_begins_elsewhere_too() {
    let (one, other) = two().await;
    let answer = one.call();
    sleep(Duration::from_millis(1)).await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    // The owner is told that the run is watched.
    let run = other.get().await.expect("a run");
    sleep(Duration::from_millis(50)).await;
    answer.send(Ok(stream::pending())).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(run.attach(None).now_or_never().is_some(), "it has begun");
}

#[tokio::test(start_paused = true)]
async fn client_of_a_call_without_a_stream_gets_the_keys_next_run() {
    let (one, other) = two().await;
    let answer = one.call();
    sleep(Duration::from_millis(1)).await;
    // The request has found the call, but has not subscribed to it yet.
    let starting = claiming(&other, other.runs.start(&KEY, None, || source().1)).await;
    answer.send(Err(())).unwrap();
    sleep(Duration::from_millis(2)).await;
    let source = one.start().await.expect("the key is free");
    finish(source, &["a"]);
    let run = soon(starting).await.unwrap();
    assert_whole(run.attach(None).await.expect("a run"), &["a"]).await;
}

/// The end compares the number of entries, which a trim changes.
#[tokio::test(start_paused = true)]
async fn end_of_a_trimmed_run_exports_nothing_again() {
    let text = "x".repeat(1_000);
    let (one, _other, source, mut live) =
        watched_with(&["a"], |builder| builder.retain_bytes(2_500)).await;
    for _ in 0..4 {
        send(&source, &[&text]);
        read(&mut live, 1).await;
    }
    sleep(LEASE).await;
    let counts = || ["append and push", "sync"].map(|kind| one.store.count(kind));
    let [appends, syncs] = counts();
    finish(source, &[&text]);
    assert_whole(live, &[&text]).await;
    sleep(LEASE).await;
    assert_eq!(counts(), [appends + 1, syncs]);
}
