//! How many round trips to the store requests wait for.

use futures_util::future::try_join_all;

use super::*;

/// The duration of a round trip.
const TRIP: Duration = Duration::from_millis(100);
const CLIENTS: usize = 2_000;

/// Starts the run, or finds it. Returns the number of round trips.
async fn post(process: &Process) -> u32 {
    process.store.faults().delay = TRIP;
    let started = Instant::now();
    process.runs.start(&key(), None, stream::empty::<tower_sse::Event>).await.unwrap();
    let trips = (started.elapsed() + TRIP / 2).as_millis() / TRIP.as_millis();
    process.store.faults().delay = Duration::ZERO;
    trips.try_into().unwrap()
}

/// Waits until no command is under way.
async fn settle() {
    sleep(5 * TRIP).await;
}

#[tokio::test(start_paused = true)]
async fn request_for_a_run_waits_for_one_round_trip() {
    let (one, other, _source) = started(&["a"]).await;
    settle().await;
    let counts = || ["look", "sync"].map(|kind| one.store.count(kind));
    let [looks, syncs] = counts();
    assert_eq!(post(&one).await, 1, "at its owner");
    settle().await;
    assert_eq!(counts(), [looks + 1, syncs], "the lease is renewed when it is due");

    // The first request at the other process also subscribes, checks the owner and loads the run.
    // It loads the run twice if the owner pushes meanwhile.
    let first = post(&other).await;
    assert!((4..=5).contains(&first), "the first one elsewhere: {first}");
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    assert_eq!(post(&other).await, 1, "another one elsewhere");
}

/// Starts the run, or finds it, by many clients at once. Returns the number of round trips until
/// the last one is answered.
async fn post_many(process: &Process) -> u32 {
    process.store.faults().delay = TRIP;
    let started = Instant::now();
    let (key, source) = (key(), stream::pending::<tower_sse::Event>);
    soon(try_join_all((0..CLIENTS).map(|_| process.runs.start(&key, None, source)))).await.unwrap();
    let trips = (started.elapsed() + TRIP / 2).as_millis() / TRIP.as_millis();
    process.store.faults().delay = Duration::ZERO;
    trips.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_for_a_run_do_not_wait_for_each_other() {
    let (one, other, _source) = started(&["a"]).await;
    settle().await;
    assert_eq!(post_many(&one).await, 1, "at its owner");
    settle().await;
    let first = post_many(&other).await;
    assert!(first <= 5, "elsewhere: {first}");
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    assert_eq!(post_many(&other).await, 1, "elsewhere, once it is loaded");
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_start_a_run_in_few_round_trips() {
    let (one, _other) = two().await;
    let trips = post_many(&one).await;
    assert!(trips <= 4, "{trips}");
    assert_eq!(one.runs.stats().started, 1);
}

#[tokio::test(start_paused = true)]
async fn request_that_starts_a_run_waits_for_two_round_trips() {
    let (one, _other) = two().await;
    assert!(post(&one).await <= 2);
}

/// A round trip for each run of a dead process would delay the checks of all other runs.
#[tokio::test(start_paused = true)]
async fn few_round_trips_end_all_runs_of_a_dead_process() {
    const RUNS: usize = 600;
    let (dead, other) = two_with(|builder| builder.max_running_per_owner(RUNS + 1)).await;
    let healthy = Process::at(other.store.beside(2), |builder| builder).await;
    let mut sources = Vec::new();
    for turn in 0..RUNS {
        sources.push(dead.start_as(&key_of(turn)).await);
    }
    let source = healthy.start().await.unwrap();
    let clients = join_all((0..RUNS).map(async |turn| other.attach_as(&key_of(turn)).await)).await;
    let live = other.attach().await;
    sleep(GROWN_UP).await;
    other.store.faults().delay = TRIP;
    dead.store.go_away();
    dead.store.lose_processes();
    let died = Instant::now();
    let told =
        clients.into_iter().map(|client| assert_fails(client, &[], Some(Outcome::Interrupted)));
    soon(join_all(told)).await;
    // Each check of all runs takes two round trips.
    let bound = LEASE * 13 / 8 + 12 * TRIP;
    assert!(died.elapsed() <= bound, "{:?}", died.elapsed());
    assert_eq!(other.outcomes(), [Outcome::Interrupted; RUNS]);
    send(&source, &["a"]);
    drop(source);
    assert_whole(live, &["a"]).await;
}
