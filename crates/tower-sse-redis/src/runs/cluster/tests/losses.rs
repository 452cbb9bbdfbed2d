//! A process that dies or is cut off, and a store that loses data.

use super::*;

#[tokio::test(start_paused = true)]
async fn client_of_a_process_that_is_cut_off_continues_at_another() {
    let (one, other, source, live) = watched(&["a"]).await;
    let mut own = one.attach().await;
    one.store.go_away();
    other.store.go_away();
    let left = Instant::now();
    assert_fails(live, &[], None).await;
    assert!((LEASE..=LEASE * 3).contains(&left.elapsed()), "{:?}", left.elapsed());
    assert_eq!(other.try_start(&KEY, None).await.unwrap_err(), StartError::Unavailable);
    assert_eq!(other.status(None).await, 503);
    assert!(other.get().await.is_none(), "nor can it be known");
    sleep(LEASE * 4).await;
    assert!(one.start().await.is_none(), "the owner has the run");
    send(&source, &["b"]);
    assert_eq!(read(&mut own, 2).await, ["a", "b"]);
    one.store.come_back().await;
    other.store.come_back().await;
    finish(source, &["c"]);
    assert_whole(own, &["c"]).await;
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
}

/// A firewall forgets the connections while the reply to a subscription is under way. The reply has
/// a limit of ten seconds, and the process counts as dead after eight.
#[tokio::test(start_paused = true)]
async fn process_whose_subscription_gets_no_reply_connects_again_in_time() {
    let (one, other, source, mut live) = watched(&["a"]).await;
    one.store.drop_packets();
    sleep(LEASE / 5).await;
    _ = soon(one.store.cluster().store.subscribe(&one.run())).await;
    sleep(LEASE).await;
    send(&source, &["b"]);
    assert_eq!(read(&mut live, 1).await, ["b"]);
    assert_eq!(other.outcomes(), []);
}

/// The firewall forgets the connections of a new session, which has sent only one beat.
#[tokio::test(start_paused = true)]
async fn process_whose_first_subscription_gets_no_reply_connects_again_in_time() {
    let (one, other, _source, _live) = watched(&["a"]).await;
    let (network, id) = (&one.store.network, one.store.cluster().id.clone());
    let counter = || network.command(&["HGET", "app:run:processes", id.as_str()]);
    // Over a slow link, the reply to the beat and the subscription are under way for milliseconds.
    network.limit_bandwidth(0, 100_000);
    one.store.go_away();
    network.admit(0);
    let before = counter();
    while counter() == before {
        sleep(Duration::from_millis(1)).await;
    }
    one.store.drop_packets();
    sleep(2 * LEASE).await;
    assert_eq!(other.outcomes(), []);
}

#[tokio::test(start_paused = true)]
async fn run_whose_first_load_broke_off_is_found_after_the_next() {
    let large = "x".repeat(60_000);
    let (_one, other, _source) = started(&[&large, &large, &large]).await;
    sleep(LEASE).await;
    other.store.network.limit_bandwidth(1, 100_000);
    let _live = other.answer(None).await;
    other.store.go_away();
    other.store.come_back().await;
    assert!(other.get().await.is_none(), "it is not loaded yet");
    sleep(LEASE).await;
    assert!(other.get().await.is_some());
}

/// The call goes on, so its client is asked to come again.
#[tokio::test(start_paused = true)]
async fn client_waiting_for_a_call_elsewhere_is_refused_without_the_store() {
    let (one, other) = two().await;
    let call = one.call();
    sleep(LEASE / 4).await;
    let runs = other.runs.clone();
    let waiting = tokio::spawn(async move { runs.answer(&KEY, &request(None)).await });
    sleep(LEASE / 4).await;
    other.store.go_away();
    sleep(LEASE * 3).await;
    let refused = waiting.now_or_never().expect("an answer").unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    other.store.come_back().await;
    call.send(Ok(stream::pending())).unwrap();
    assert_eq!(other.status(None).await, 200);
}

/// The owner cannot know that another process has replaced its run.
#[tokio::test(start_paused = true)]
async fn owner_that_is_cut_off_refuses_ids_of_other_runs() {
    let (one, other, _source) = started(&["old"]).await;
    let old = one.get().await.expect("a run");
    one.store.go_away();
    let second = other.replace().await;
    send(&second, &["a", "b"]);
    read(&mut other.attach().await, 2).await;
    let id = other.id(1);
    assert_eq!(one.status(Some(&id)).await, 503);
    assert_eq!(soon(old.answer(&request(Some(&id)))).await.status(), 503);
    assert_eq!(one.try_start(&KEY, Some(&id)).await.unwrap_err(), StartError::Unavailable);
    drop(second);
    one.store.come_back().await;
    for answer in [one.answer(Some(&id)).await, soon(old.answer(&request(Some(&id)))).await] {
        let rest = text(answer).await;
        assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
    }
}

/// The owner still has its run, and clients elsewhere read on.
#[tokio::test(start_paused = true)]
async fn store_that_loses_data_is_filled_again() {
    for lose in [Way::lose_data, Way::lose_claims, Way::lose_streams, Way::put_back] {
        let (one, _other, source, mut live) = watched(&["a"]).await;
        one.store.network.take_snapshot();
        send(&source, &["b"]);
        assert_eq!(read(&mut live, 1).await, ["b"]);
        lose(&one.store);
        send(&source, &["c"]);
        assert_eq!(read(&mut live, 1).await, ["c"]);
        assert!(one.start().await.is_none(), "its owner has the run");
        drop(source);
        assert_whole(live, &[]).await;
        let late = Process::at(one.store.beside(2), |builder| builder).await;
        assert_whole(late.attach().await, &["a", "b", "c"]).await;
        assert_whole(late.attach_after(1).await, &["b", "c"]).await;
    }
}

/// The user sends again before any process knows that the owner has died.
#[tokio::test(start_paused = true)]
async fn replaced_run_of_a_dead_process_is_reported() {
    let (one, other, _source) = started(&["a"]).await;
    sleep(LEASE).await;
    one.store.go_away();
    let second = other.replace().await;
    sleep(LEASE * 5).await;
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
    // The owner of the replaced run was only cut off.
    one.store.come_back().await;
    sleep(LEASE).await;
    assert_eq!(one.runs.stats().fenced, 1);
    finish(second, &["b"]);
    assert_whole(one.attach().await, &["b"]).await;
    assert_eq!((one.outcomes().len(), other.outcomes().len()), (0, 2));
}

/// The next run completes, and an operator deletes its claim, before the owner of the replaced run
/// returns. Much later, this owner dies.
#[tokio::test(start_paused = true)]
async fn replaced_run_is_reported_once_although_the_next_one_is_gone() {
    let (one, other, _source) = started(&["a"]).await;
    sleep(LEASE / 8).await;
    one.store.go_away();
    drop(other.replace().await);
    sleep(LEASE / 8).await;
    one.store.claim("DEL", &KEY, &[]);
    one.store.come_back().await;
    sleep(LEASE).await;
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
    one.store.go_away();
    sleep(2 * LEASE).await;
    assert_eq!(other.outcomes(), [Outcome::Completed]);
}

#[tokio::test(start_paused = true)]
async fn lost_run_is_not_started_again_while_its_owner_may_return() {
    let (one, other, source) = started(&["a"]).await;
    sleep(LEASE).await;
    let id = one.id(1);
    one.store.go_away();
    one.store.lose_data();
    for last in [None, Some(&id)] {
        assert_eq!(other.status(last).await, 503);
        let refused = other.try_start(&KEY, last).await.unwrap_err();
        assert_eq!(refused, StartError::Unavailable, "{last:?}");
    }
    one.store.come_back().await;
    sleep(LEASE).await;
    assert!(other.start().await.is_none(), "the claim is restored");
    drop(source);
    assert_whole(other.attach().await, &["a"]).await;
}

/// A failover to an older state brings back a run that is over. Its owner is alive, so no other
/// process ends it.
#[tokio::test(start_paused = true)]
async fn run_that_returns_after_its_end_ends_again_for_its_client() {
    for (since_end, is_whole) in [(LEASE / 4, true), (LEASE * 4, false)] {
        let (one, other, source) = started(&["a"]).await;
        sleep(LEASE).await;
        one.store.network.take_snapshot();
        drop(source);
        sleep(since_end).await;
        one.store.put_back();
        assert!(one.store.is_live(&KEY));
        let asked = Instant::now();
        let client = other.attach().await;
        if is_whole {
            assert_whole(client, &["a"]).await;
        } else {
            assert_fails(client, &["a"], Some(Outcome::Interrupted)).await;
        }
        assert!(asked.elapsed() <= LEASE * 3 / 2, "{:?}", asked.elapsed());
        assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]));
    }
}
