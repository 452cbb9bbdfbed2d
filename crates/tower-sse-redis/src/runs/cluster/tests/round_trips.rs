//! How many round trips to the store requests wait for.

use futures_util::future::try_join_all;

use super::*;

/// The duration of a round trip.
const TRIP: Duration = Duration::from_millis(100);
const CLIENTS: usize = 2_000;

/// Sends this many requests at once, each of which starts the run or finds it. Returns the number
/// of round trips until the last request is answered.
async fn post(process: &Process, clients: usize) -> u128 {
    // Waits until no command is under way.
    sleep(5 * TRIP).await;
    process.store.faults().delay = TRIP;
    let started = Instant::now();
    let start = |_| process.runs.start(&KEY, None, stream::pending::<Event>);
    soon(try_join_all((0..clients).map(start))).await.unwrap();
    process.store.faults().delay = Duration::ZERO;
    (started.elapsed() + TRIP / 2).as_millis() / TRIP.as_millis()
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_for_a_run_do_not_wait_for_each_other() {
    for clients in [1, CLIENTS] {
        let (one, other, _source) = started(&["a"]).await;
        sleep(5 * TRIP).await;
        let counts = || ["look", "sync"].map(|kind| one.store.count(kind));
        let [looks, syncs] = counts();
        assert_eq!(post(&one, clients).await, 1, "at its owner");
        sleep(5 * TRIP).await;
        assert_eq!(counts(), [looks + clients, syncs], "the owner knows of no other client");

        // The first request at the other process also subscribes to the run, checks it and loads
        // it. It loads the run twice if the owner pushes meanwhile.
        let first = post(&other, clients).await;
        assert!((4..=5).contains(&first), "the first one elsewhere: {first}");
        let mut live = other.attach().await;
        read(&mut live, 1).await;
        assert_eq!(post(&other, clients).await, 1, "elsewhere, once it is loaded");
    }
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_start_a_run_in_few_round_trips() {
    for (clients, trips) in [(1, 2), (CLIENTS, 4)] {
        let one = alone(|builder| builder.max_running_per_owner(1)).await;
        let taken = post(&one, clients).await;
        assert!(taken <= trips, "{clients}: {taken}");
        assert_eq!(one.runs.stats().started, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_for_a_key_are_refused_together() {
    let one = alone(|builder| builder.max_running(1)).await;
    let _running = one.start_as(&key_of(1)).await;
    let looks = one.store.count("look");
    one.store.faults().delay = TRIP;
    let starts = (0..CLIENTS).map(|_| one.try_start(&KEY, None));
    let refused = within(4 * TRIP, join_all(starts)).await;
    assert!(refused.into_iter().all(|started| started.err() == Some(StartError::Full)));
    assert!(one.store.count("look") - looks <= 3 * CLIENTS);
}

#[tokio::test(start_paused = true)]
async fn request_that_waited_for_a_call_joins_it_without_another_look() {
    let one = alone(|builder| builder).await;
    let answer = one.call();
    sleep(Duration::from_millis(1)).await;
    let mut waiting = Box::pin(one.start());
    waits(5, &mut waiting).await;
    let looks = one.store.count("look");
    answer.send(Ok(stream::pending())).unwrap();
    assert!(soon(waiting).await.is_none());
    assert_eq!(one.store.count("look"), looks);
}

/// Clients come to this many runs of another process at once, each of which has an event of this
/// size. Returns the number of round trips until the last client has its event.
async fn trips_of_loads(runs: usize, size: usize) -> u128 {
    let (one, other) = two_with(|builder| builder.max_running_per_owner(runs)).await;
    let text = "x".repeat(size);
    let starting = stream::iter(0..runs).then(async |turn| one.start_as(&key_of(turn)).await);
    let sources: Vec<_> = starting.collect().await;
    sources.iter().for_each(|source| send(source, &[&text]));
    sleep(5 * TRIP).await;
    other.store.faults().delay = TRIP;
    let began = Instant::now();
    let arrive =
        (0..runs).map(async |turn| read(&mut other.attach_as(&key_of(turn)).await, 1).await);
    join_all(arrive).await;
    (began.elapsed() + TRIP / 2).as_millis() / TRIP.as_millis()
}

/// A process loads about a megabyte of pages at the same time. If each counted as a full page, the
/// clients of short answers would wait for 63 round trips.
#[tokio::test(start_paused = true)]
async fn simultaneous_loads_of_short_runs_share_round_trips() {
    let short = trips_of_loads(1_000, 1).await;
    assert!(short <= 20, "short answers: {short}");
    let long = trips_of_loads(160, 60_000).await;
    assert!((13..=20).contains(&long), "full pages: {long}");
}

/// With a round trip for each run of a dead process, clients would learn late that it has died.
#[tokio::test(start_paused = true)]
async fn few_round_trips_end_all_runs_of_a_dead_process() {
    const RUNS: usize = 600;
    let (dead, other) = two_with(|builder| builder.max_running_per_owner(RUNS + 1)).await;
    let healthy = Process::at(other.store.beside(2), |builder| builder).await;
    let starting = stream::iter(0..RUNS).then(async |turn| dead.start_as(&key_of(turn)).await);
    let _sources: Vec<_> = starting.collect().await;
    let source = healthy.start().await.unwrap();
    let clients = join_all((0..RUNS).map(async |turn| other.attach_as(&key_of(turn)).await)).await;
    let live = other.attach().await;
    // Either process can become the heir.
    for process in [&other, &healthy] {
        process.store.faults().delay = TRIP;
    }
    dead.store.go_away();
    let died = Instant::now();
    let learns = |client| assert_fails(client, &[], Some(Outcome::Interrupted));
    soon(join_all(clients.into_iter().map(learns))).await;
    let bound = LEASE * 5 / 4 + 12 * TRIP;
    assert!(died.elapsed() <= bound, "{:?}", died.elapsed());
    sleep(LEASE).await;
    assert_eq!([other.outcomes(), healthy.outcomes()].concat(), [Outcome::Interrupted; RUNS]);
    finish(source, &["a"]);
    assert_whole(live, &["a"]).await;
}
