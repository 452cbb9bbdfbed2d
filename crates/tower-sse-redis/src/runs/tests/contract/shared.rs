//! Programs of two processes that share their runs.

use std::future::ready;

use tokio::sync::oneshot;

use super::{request, *};

scenes!(Pair:
    client_of_another_process_reads_live_from_its_id_and_afterwards,
    stranger_does_not_find_the_run_at_another_process,
    client_that_has_missed_evicted_events_is_refused_at_all_processes,
    simultaneous_requests_of_all_processes_start_one_run,
    one_of_simultaneous_replacements_completes,
    only_a_completed_run_is_kept_from_the_next_call,
    stop_at_another_process_ends_the_run_everywhere,
    run_is_replaced_at_another_process,
    last_event_of_a_cancel_reaches_clients_of_all_processes,
    call_that_has_no_stream_frees_the_key_everywhere,
    shutdown_tells_clients_of_other_processes_the_outcome,
);

async fn client_of_another_process_reads_live_from_its_id_and_afterwards(pair: Pair) {
    let (source, mut live) = pair.watched(&["a", "b"]).await;
    send(&source, &["c"]);
    assert_eq!(read(&mut live, 1).await, ["c"]);
    let id = pair.one.id(2).await;
    let mut resumed = pair.other.attach_after(Some(id.clone())).await;
    assert_eq!(read(&mut resumed, 1).await, ["c"]);
    send(&source, &["d"]);
    drop(source);
    assert_whole(live, &["d"]).await;
    assert_whole(resumed, &["d"]).await;
    for program in [&pair.one, &pair.other] {
        assert_whole(program.attach().await, &["a", "b", "c", "d"]).await;
        assert_whole(program.attach_after(Some(id.clone())).await, &["c", "d"]).await;
    }
}

async fn stranger_does_not_find_the_run_at_another_process(pair: Pair) {
    let (_source, _live) = pair.watched(&["secret"]).await;
    let (runs, parts) = (&pair.other.runs, request(Some(&pair.one.id(1).await)));
    let stranger = RunKey::new("stranger", "turn").unwrap();
    assert!(runs.get(&stranger).await.is_none());
    assert!(runs.answer(&stranger, &parts).await.is_none());
    assert!(!runs.cancel(&stranger, None).await);
    let started = runs.start(&stranger, &parts, stream::pending::<Event>).await;
    assert_eq!(started.unwrap_err(), StartError::NotFound);
}

async fn client_that_has_missed_evicted_events_is_refused_at_all_processes(mut pair: Pair) {
    pair.one =
        Program::connect(&pair.world, Runs::builder().retention(Retention::new().bytes(2_500)))
            .await;
    let source = pair.started(&["first"]).await;
    let mut own = pair.one.attach().await;
    read(&mut own, 1).await;
    let first = pair.one.id(1).await;
    let large = "x".repeat(1_000);
    for _ in 0..5 {
        send(&source, &[&large]);
        read(&mut own, 1).await;
    }
    drop(source);
    let seen = LastEventId::try_from(format!("{}-5", run_of(&first).epoch)).unwrap();
    for program in [&pair.one, &pair.other] {
        let is_refused = async || program.status(Some(&first)).await == 404;
        soon(async {
            while !is_refused().await {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let rest = program.answer_until_known(Some(&seen)).await;
        assert_eq!(rest.matches(&large).count(), 1, "{rest}");
    }
}

async fn simultaneous_requests_of_all_processes_start_one_run(pair: Pair) {
    let starts = (0..50).map(|at| [&pair.one, &pair.other][at % 2].start());
    let mut sources: Vec<_> = join_all(starts).await.into_iter().flatten().collect();
    assert_eq!(sources.len(), 1);
    send(&sources[0], &["a"]);
    sources.clear();
    assert_whole(pair.one.attach().await, &["a"]).await;
    assert_whole(pair.other.attach().await, &["a"]).await;
    assert_eq!(pair.one.runs.stats().started + pair.other.runs.stats().started, 1);
}

/// Each replacement cancels the one before. All processes agree on the last.
async fn one_of_simultaneous_replacements_completes(pair: Pair) {
    let replacements = (0..5).map(|at| [&pair.one, &pair.other][at % 2].replace());
    let mut sources = join_all(replacements).await;
    soon(async {
        while sources.iter().filter(|source| !source.is_closed()).count() != 1 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    sources.retain(|source| !source.is_closed());
    send(&sources[0], &["a"]);
    sources.clear();
    for program in [&pair.one, &pair.other] {
        assert_whole(program.attach().await, &["a"]).await;
    }
}

async fn only_a_completed_run_is_kept_from_the_next_call(pair: Pair) {
    let (source, live) = pair.watched(&["a"]).await;
    source.send(Err("broken")).unwrap();
    assert_fails(live, &[], Outcome::Failed).await;
    let again = pair.other.start().await.expect("a second call");
    send(&again, &["b"]);
    let live = pair.one.attach().await;
    drop(again);
    assert_whole(live, &["b"]).await;
    assert!(pair.one.start().await.is_none());
    assert_whole(pair.one.attach().await, &["b"]).await;
}

async fn stop_at_another_process_ends_the_run_everywhere(pair: Pair) {
    for stopping in [&pair.other, &pair.one] {
        let (source, live) = pair.watched(&["a"]).await;
        let own = pair.one.attach().await;
        assert!(stopping.cancel().await);
        assert_fails(live, &[], Outcome::Cancelled).await;
        assert_fails(own, &["a"], Outcome::Cancelled).await;
        soon(source.closed()).await;
        assert!(!pair.other.cancel().await);
        // The next request starts a new run, at any process.
        let next = pair.other.start().await.expect("a call after the stop");
        assert!(pair.one.cancel().await);
        soon(next.closed()).await;
    }
    assert_eq!(pair.one.outcomes(), [Outcome::Cancelled; 2], "each process reports its own");
    assert_eq!(pair.other.outcomes(), [Outcome::Cancelled; 2]);
}

async fn run_is_replaced_at_another_process(pair: Pair) {
    let (source, live) = pair.watched(&["old"]).await;
    let second = pair.other.replace().await;
    send(&second, &["new"]);
    assert_fails(live, &[], Outcome::Cancelled).await;
    soon(source.closed()).await;
    let live = pair.one.attach().await;
    drop(second);
    assert_whole(live, &["new"]).await;
    assert_whole(pair.other.attach().await, &["new"]).await;
    assert_eq!(pair.one.outcomes(), [Outcome::Cancelled]);
}

async fn last_event_of_a_cancel_reaches_clients_of_all_processes(pair: Pair) {
    for is_owner in [true, false] {
        let (source, live) = pair.watched(&["a"]).await;
        let own = pair.one.attach().await;
        let seen = pair.one.id(1).await;
        let program = if is_owner { &pair.one } else { &pair.other };
        let usage = Event::from("12 tokens");
        assert!(soon(program.runs.cancel_with(&turn(), None, usage)).await);
        assert_fails(live, &["12 tokens"], Outcome::Cancelled).await;
        assert_fails(own, &["a", "12 tokens"], Outcome::Cancelled).await;
        soon(source.closed()).await;
        let last = pair.one.id(2).await;
        for program in [&pair.one, &pair.other] {
            let client = program.attach_after(Some(seen.clone())).await;
            assert_fails(client, &["12 tokens"], Outcome::Cancelled).await;
            let client = program.attach_after(Some(last.clone())).await;
            assert_fails(client, &[], Outcome::Cancelled).await;
        }
    }
}

type Call = Result<stream::Iter<std::vec::IntoIter<Event>>, &'static str>;

/// A call that has no stream is its caller's alone, whichever process waits for it.
async fn call_that_has_no_stream_frees_the_key_everywhere(pair: Pair) {
    let key = turn();
    let (answer, call) = oneshot::channel::<Call>();
    let first = pair.one.runs.start_with(&key, None, || async { call.await.unwrap() });
    let second = async {
        while pair.other.get().await.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        let starting = pair.other.runs.start_with(&key, None, || ready(Call::Err("mine")));
        let answering = async { answer.send(Err("429")).unwrap() };
        tokio::join!(starting, answering).0
    };
    let (first, second) = soon(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap().err(), Some("429"));
    assert_eq!(second.unwrap().err(), Some("mine"));
    assert!(pair.other.start().await.is_some());
}

async fn shutdown_tells_clients_of_other_processes_the_outcome(pair: Pair) {
    let (source, live) = pair.watched(&["a"]).await;
    soon(pair.one.runs.drain(Duration::from_millis(100))).await;
    assert_fails(live, &[], Outcome::Interrupted).await;
    assert_eq!(pair.other.outcomes(), [], "its owner has reported it before its lease was over");
    soon(source.closed()).await;
    let source = pair.other.start().await.expect("the key is free");
    send(&source, &["b"]);
    drop(source);
    soon(pair.other.runs.drain(Duration::from_secs(10))).await;
    pair.other.store.cut();
    let late = Program::connect(&pair.world, Runs::builder()).await;
    assert_whole(late.attach().await, &["b"]).await;
}
