//! Programs of two processes, one of which dies or is cut off, or whose store loses data.

use super::{pair::LEASE, *};

/// How late everything can be, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

scenes!(Pair:
    owner_that_was_declared_dead_is_fenced,
    request_finds_a_dead_owner_without_a_client,
    death_of_a_process_is_reported_without_a_client,
    owner_that_is_cut_off_within_its_lease_keeps_its_run,
    client_of_a_process_that_is_cut_off_continues_at_another,
    owner_that_is_cut_off_refuses_ids_of_other_runs,
    store_that_loses_its_data_is_filled_again,
    claim_that_the_store_loses_is_restored,
    stream_that_the_store_loses_is_restored,
    store_that_goes_back_to_an_older_state_is_filled_again,
    run_is_restored_although_an_earlier_one_was_live_before,
    replaced_run_of_a_dead_process_is_reported,
    lost_run_is_started_again_only_if_its_owner_stays_away,
);

async fn owner_that_was_declared_dead_is_fenced(pair: Pair) {
    let (source, live) = pair.watched(&["a"]).await;
    let own = pair.one.attach().await;
    pair.one.store.cut();
    send(&source, &["b"]);
    assert_fails(live, &[], Outcome::Interrupted).await;
    assert_eq!(pair.other.outcomes(), [Outcome::Interrupted], "reported once");
    let started = join_all((0..20).map(|_| pair.other.start())).await;
    let mut started = started.into_iter().flatten();
    let second = started.next().expect("a second call");
    assert!(started.next().is_none());
    send(&second, &["c"]);
    let mut at_second = pair.other.attach().await;
    assert_eq!(read(&mut at_second, 1).await, ["c"]);
    assert!(!source.is_closed(), "the owner does not know yet, and serves its own clients");
    pair.one.store.heal();
    assert_fails(own, &["a", "b"], Outcome::Interrupted).await;
    assert_eq!(pair.one.outcomes(), [], "the other process has reported it");
    let (one, other) = (pair.one.runs.stats(), pair.other.runs.stats());
    assert_eq!((one.fenced, one.declared_dead), (1, 0));
    assert_eq!((other.fenced, other.declared_dead), (0, 1));
    send(&second, &["d"]);
    drop(second);
    assert_whole(at_second, &["d"]).await;
    assert_whole(pair.one.attach().await, &["c", "d"]).await;
}

async fn request_finds_a_dead_owner_without_a_client(pair: Pair) {
    let _source = pair.started(&["a"]).await;
    pair.one.store.cut();
    pair.world.pass(LEASE).await;
    let started = join_all((0..20).map(|_| pair.other.start_until_known())).await;
    assert_eq!(started.iter().flatten().count(), 1);
}

async fn death_of_a_process_is_reported_without_a_client(pair: Pair) {
    let _source = pair.started(&["a"]).await;
    pair.world.pass(LEASE).await;
    pair.one.store.cut();
    until_async(async || !pair.other.outcomes().is_empty()).await;
    pair.world.pass(LEASE * 4).await;
    assert_eq!(pair.other.outcomes(), [Outcome::Interrupted]);
}

async fn owner_that_is_cut_off_within_its_lease_keeps_its_run(pair: Pair) {
    let (source, live) = pair.watched(&["a"]).await;
    pair.one.store.cut();
    send(&source, &["b"]);
    drop(source);
    sleep(Duration::from_secs(1)).await;
    let own = pair.one.runs.get(&turn()).await;
    assert!(own.is_none(), "it has ended, and the store is out of reach");
    pair.one.store.heal();
    assert_whole(live, &["b"]).await;
    assert_eq!(pair.one.outcomes(), [Outcome::Completed]);
    assert_eq!(pair.other.outcomes(), []);
}

async fn client_of_a_process_that_is_cut_off_continues_at_another(pair: Pair) {
    let (source, live) = pair.watched(&["a"]).await;
    let mut own = pair.one.attach().await;
    pair.one.store.cut();
    pair.other.store.cut();
    let left = Instant::now();
    assert_fails(live, &[], None).await;
    let told = left.elapsed();
    assert!(told >= LEASE && told <= LEASE * 3 + SLACK, "{told:?}");
    assert_eq!(pair.other.try_start(&turn(), None).await.unwrap_err(), StartError::Unavailable);
    assert_eq!(pair.other.status(None).await, 503);
    assert!(pair.other.get().await.is_none(), "nor can it be known");
    pair.world.pass(Duration::from_secs(3_600)).await;
    assert!(pair.one.start().await.is_none(), "the owner has the run");
    send(&source, &["b"]);
    assert_eq!(read(&mut own, 2).await, ["a", "b"]);
    pair.one.store.heal();
    pair.other.store.heal();
    send(&source, &["c"]);
    drop(source);
    assert_whole(own, &["c"]).await;
    let answer = pair.other.answer_until_known(None).await;
    assert_eq!(answer.matches("data: ").count(), 3, "{answer}");
}

/// The owner cannot know that another process has replaced its run.
async fn owner_that_is_cut_off_refuses_ids_of_other_runs(pair: Pair) {
    let _source = pair.started(&["old"]).await;
    let old = pair.one.get().await.expect("a run");
    pair.one.store.cut();
    let second = pair.other.replace().await;
    send(&second, &["a", "b"]);
    read(&mut pair.other.attach().await, 2).await;
    let id = pair.other.id(1).await;
    assert_eq!(pair.one.status(Some(&id)).await, 503);
    assert_eq!(soon(old.answer(&request(Some(&id)))).await.status(), 503);
    let refused = pair.one.try_start(&turn(), Some(&id)).await.unwrap_err();
    assert_eq!(refused, StartError::Unavailable);
    drop(second);
    pair.one.store.heal();
    let rest = pair.one.answer_until_known(Some(&id)).await;
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
    let rest = program::text(soon(old.answer(&request(Some(&id)))).await).await;
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
}

/// The owner still has its run, and clients elsewhere read on.
async fn is_filled_again(mut pair: Pair, lose: impl AsyncFnOnce(&Redis, &RunId)) {
    let (source, mut live) = pair.watched(&["a"]).await;
    pair.world.copy().await;
    send(&source, &["b"]);
    assert_eq!(read(&mut live, 1).await, ["b"]);
    let id = pair.one.id(1).await;
    lose(&pair.world, &run_of(&id)).await;
    send(&source, &["c"]);
    assert_eq!(read(&mut live, 1).await, ["c"]);
    assert!(pair.one.start_until_known().await.is_none(), "its owner has the run");
    drop(source);
    assert_whole(live, &[]).await;
    let answer = pair.other.answer_until_known(None).await;
    assert_eq!(answer.matches("data: ").count(), 3, "{answer}");
    let rest = pair.other.answer_until_known(Some(&id)).await;
    assert_eq!(rest.matches("data: ").count(), 2, "{rest}");
}

async fn store_that_loses_its_data_is_filled_again(pair: Pair) {
    is_filled_again(pair, async |world, _| world.lose_data().await).await;
}

async fn claim_that_the_store_loses_is_restored(pair: Pair) {
    is_filled_again(pair, async |world, run| world.lose_claim(&run.key).await).await;
}

async fn stream_that_the_store_loses_is_restored(pair: Pair) {
    is_filled_again(pair, async |world, run| world.lose_stream(run).await).await;
}

async fn store_that_goes_back_to_an_older_state_is_filled_again(pair: Pair) {
    is_filled_again(pair, async |world, _| world.put_back().await).await;
}

/// The older state has the run before this one.
async fn run_is_restored_although_an_earlier_one_was_live_before(mut pair: Pair) {
    let earlier = pair.started(&["old"]).await;
    pair.world.copy().await;
    let source = pair.one.replace().await;
    drop(earlier);
    send(&source, &["a"]);
    let mut live = pair.other.attach().await;
    assert_eq!(read(&mut live, 1).await, ["a"]);
    let id = pair.one.id(1).await;
    pair.world.put_back().await;
    for program in [&pair.one, &pair.other] {
        assert_ne!(program.status(Some(&id)).await, 404);
    }
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
    let rest = pair.other.answer_until_known(Some(&id)).await;
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
}

/// Its user sends again before anybody knows that the process has died.
async fn replaced_run_of_a_dead_process_is_reported(pair: Pair) {
    let _source = pair.started(&["a"]).await;
    pair.world.pass(LEASE).await;
    pair.one.store.cut();
    let second = pair.other.replace().await;
    until_async(async || !pair.other.outcomes().is_empty()).await;
    pair.world.pass(LEASE * 4).await;
    assert_eq!(pair.other.outcomes(), [Outcome::Interrupted]);
    // It was only cut off.
    pair.one.store.heal();
    until_async(async || pair.one.runs.stats().fenced == 1).await;
    send(&second, &["b"]);
    drop(second);
    assert_whole(pair.one.attach().await, &["b"]).await;
    assert_eq!((pair.one.outcomes().len(), pair.other.outcomes().len()), (0, 2));
}

async fn lost_run_is_started_again_only_if_its_owner_stays_away(pair: Pair) {
    let source = pair.started(&["a"]).await;
    read(&mut pair.one.attach().await, 1).await;
    let id = pair.one.id(1).await;
    pair.one.store.cut();
    pair.world.lose_data().await;
    for last in [None, Some(&id)] {
        assert_eq!(pair.other.status(last).await, 503);
        let refused = pair.other.try_start(&turn(), last).await.unwrap_err();
        assert_eq!(refused, StartError::Unavailable, "{last:?}");
    }
    pair.one.store.heal();
    assert!(pair.other.start_until_known().await.is_none(), "the claim is restored");
    drop(source);
    pair.other.answer_until_known(Some(&id)).await;

    let second = pair.one.replace().await;
    pair.one.store.cut();
    pair.world.lose_data().await;
    soon(async {
        while pair.other.runs.answer(&turn(), &request(None)).await.is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(pair.other.start().await.is_some());
    drop(second);
}
