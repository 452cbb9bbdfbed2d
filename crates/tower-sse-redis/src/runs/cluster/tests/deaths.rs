//! Processes that die, most of them while no client asks for their runs.

use std::sync::mpsc::channel;

use super::*;

/// Starts runs at a process, and lets their events be exported.
async fn started_at(process: &Process, runs: usize) -> Vec<Source> {
    let mut sources = Vec::new();
    for turn in 0..runs {
        sources.push(process.start_as(&key_of(turn)).await);
        send(&sources[turn], &["a"]);
    }
    sleep(LEASE * 3).await;
    sources
}

#[tokio::test(start_paused = true)]
async fn death_is_reported_by_another_if_the_process_that_ends_it_dies() {
    let (dead, other) = two().await;
    let ghost = dead.store.beside(2);
    let (sender, incoming) = channel();
    let receive = Arc::new(move |incoming| _ = sender.send(incoming));
    let ghost = ghost.open(ProcessId::draw(), LEASE, receive).await.unwrap();
    let _sources = started_at(&dead, 1).await;
    let run = RunId::of(&dead.record(&key_of(0)));
    other.store.go_away();
    dead.store.go_away();
    sleep(LEASE * 5 / 4).await;
    let owner = dead.store.cluster().id.clone();
    let death = incoming.try_iter().find_map(|it| match it {
        Incoming::Dead(dead) if dead.id == owner => Some(dead),
        _ => None,
    });
    assert_eq!(ghost.inherit(&death.unwrap()).await.unwrap().len(), 1);
    let end = End { run: run.clone(), mode: EndMode::Bury { owner } };
    ghost.end(None, end).await.unwrap();
    assert!(!dead.store.is_live(&run.key));
    drop(ghost);
    assert_eq!(other.outcomes(), []);
    other.store.come_back().await;
    sleep(LEASE * 5).await;
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
    assert_eq!(other.store.count("reported"), 1);
}

#[tokio::test(start_paused = true)]
async fn death_is_reported_once_if_a_reply_is_lost() {
    let (dead, other) = two().await;
    let _sources = started_at(&dead, 1).await;
    dead.store.go_away();
    other.store.faults().delay = Duration::from_millis(20);
    while other.store.count("end") == 0 {
        other.store.faults().lost_replies = usize::from(other.store.count("inherit") > 0);
        sleep(Duration::from_millis(10)).await;
    }
    other.store.faults().delay = Duration::ZERO;
    assert_eq!((other.store.faults().lost_replies, other.outcomes()), (0, vec![]));
    sleep(LEASE * 4).await;
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
}

/// A request and the process that looks after the dead one end the same run.
#[tokio::test(start_paused = true)]
async fn death_is_reported_once_if_two_calls_end_the_run() {
    let (dead, other, _source) = started(&["a"]).await;
    dead.store.go_away();
    dead.store.lose_processes();
    let (owner, run, cluster) = (&dead.store.cluster().id, [dead.run()], other.store.cluster());
    let bury = || cluster.mirrors.bury(owner, &run);
    tokio::join!(bury(), bury());
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
}

#[tokio::test(start_paused = true)]
async fn silent_process_that_returns_keeps_its_runs() {
    let (one, other) = two().await;
    let sources = started_at(&one, 1).await;
    one.store.leave_for(LEASE / 2).await;
    sleep(LEASE * 6).await;
    send(&sources[0], &["b"]);
    drop(sources);
    assert_whole(other.attach_as(&key_of(0)).await, &["a", "b"]).await;
    assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]));
}

/// Claims of live runs expire after an hour plus the time for which ended runs are kept, by default
/// five minutes.
#[tokio::test(start_paused = true)]
async fn runs_are_reported_once_after_all_processes_were_away() {
    const RUNS: usize = 9;
    const LONG: Duration = Duration::from_secs(4_000);
    for away in [Duration::from_secs(1), LONG] {
        let (one, other) = two_with(|builder| builder.abandon_after(2 * LONG)).await;
        let _sources = started_at(&one, RUNS).await;
        [&one, &other].iter().for_each(|process| process.store.go_away());
        sleep(away).await;
        let beside = |number| Process::at(one.store.beside(number), |builder| builder);
        let (third, fourth) = (beside(2).await, beside(3).await);
        sleep(LEASE * 6).await;
        let told = [third.outcomes(), fourth.outcomes()].concat();
        assert_eq!(told, [Outcome::Interrupted; RUNS], "{away:?}");
        // The owner was away all the time, and does not continue its runs.
        one.store.come_back().await;
        sleep(LEASE * 6).await;
        assert_eq!(one.outcomes(), [], "{away:?}");
        let inherited = one.store.count("inherit");
        sleep(LEASE * 10).await;
        assert_eq!(one.store.count("inherit"), inherited, "{away:?}");
        let told = [third.outcomes(), fourth.outcomes()].concat();
        assert_eq!(told.len(), RUNS, "{away:?}");
    }
}

/// An operator deletes the claim, or Redis evicts it.
#[tokio::test(start_paused = true)]
async fn run_without_a_claim_is_reported_only_if_its_owner_is_away() {
    for (away, is_dead) in [(LEASE / 8, false), (LEASE / 4, false), (LEASE * 6, true)] {
        let (one, other) = two().await;
        let sources = started_at(&one, 1).await;
        one.store.go_away();
        sleep(LEASE / 4).await;
        one.store.lose_claims();
        sleep(away).await;
        one.store.come_back().await;
        sleep(LEASE * 6).await;
        let told = if is_dead { vec![Outcome::Interrupted] } else { vec![] };
        assert_eq!(other.outcomes(), told, "{away:?}");
        drop(sources);
        sleep(LEASE).await;
        let told = if is_dead { vec![] } else { vec![Outcome::Completed] };
        assert_eq!(one.outcomes(), told, "{away:?}");
    }
}

/// The claimed run never started, and another run has since taken its key. A report would count an
/// end without a start.
#[tokio::test(start_paused = true)]
async fn claim_that_was_lost_and_replaced_is_never_reported() {
    let (one, other) = two().await;
    let starting = claiming(&one, one.try_start(&KEY, None)).await;
    one.store.faults().lost_replies = 1;
    assert_eq!(soon(starting).await.unwrap_err(), StartError::Unavailable);
    one.store.go_away();
    let _replacing = soon(other.replace()).await;
    one.store.faults().delay = Duration::ZERO;
    one.store.come_back().await;
    // The process finds that the claim is not its own any more, and then dies.
    sleep(LEASE * 3 / 4).await;
    one.store.go_away();
    sleep(LEASE * 8).await;
    assert_eq!((one.outcomes(), other.outcomes()), (vec![], vec![]));
    assert_eq!(other.runs.stats().started, 1);
}

/// An operator has deleted the list of processes, or Redis has evicted it.
#[tokio::test(start_paused = true)]
async fn run_of_an_unlisted_dead_process_is_ended_for_its_client() {
    let (dead, other, _source, live) = watched(&["a"]).await;
    dead.store.go_away();
    dead.store.lose_processes();
    assert_fails(live, &[], Some(Outcome::Interrupted)).await;
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
}

/// No client had read the run before the owner died.
#[tokio::test(start_paused = true)]
async fn dead_process_that_is_not_listed_is_noticed_by_a_request() {
    let (dead, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(2)).await;
    dead.store.go_away();
    dead.store.lose_processes();
    _ = other.store.cluster().store.is_dead(&dead.store.cluster().id);
    sleep(LEASE * 2).await;
    assert!(other.start().await.is_some(), "the run is ended first");
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
    drop(source);
}
