use super::*;

/// The reply to the claim is lost, or the command of the claim panics. If the process did not
/// remove the run, the run would count as running for ever.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_lost_is_released_and_started_once() {
    for (lost_replies, panics) in [(1, 0), (0, 1)] {
        let (one, other) = two().await;
        let starting = claiming(&one, one.try_start(&KEY, None)).await;
        one.store.faults().lost_replies = lost_replies;
        one.store.faults().panics = panics;
        assert_eq!(soon(starting).await.unwrap_err(), StartError::Unavailable);
        one.store.faults().delay = Duration::ZERO;
        // Without a release, the key would be blocked for a lease.
        assert!(within(Duration::from_secs(1), other.start()).await.is_some());
        assert_eq!(one.runs.stats().running, 0);
        assert_eq!(one.outcomes(), [], "a run that never was is not reported");
    }
}

/// One call releases at most 512 claims.
#[tokio::test(start_paused = true)]
async fn all_of_many_claims_whose_replies_are_lost_are_released() {
    const RUNS: usize = 600;
    let (one, other) = two_with(|builder| builder.max_running_per_owner(RUNS)).await;
    let starts = (0..RUNS).map(async |turn| one.try_start(&key_of(turn), None).await);
    let starting = claiming(&one, join_all(starts)).await;
    one.store.faults().lost_replies = RUNS;
    for started in soon(starting).await {
        assert_eq!(started.unwrap_err(), StartError::Unavailable);
    }
    one.store.faults().delay = Duration::ZERO;
    let starts = (0..RUNS).map(async |turn| other.start_as(&key_of(turn)).await);
    _ = within(Duration::from_secs(5), join_all(starts)).await;
}

/// Starts a run, and makes a call while the reply to the claim is under way. Until the call,
/// replies take `delay` milliseconds.
async fn claim_and<C: Future>(one: &Process, delay: u64, call: C) -> (Option<Source>, C::Output) {
    one.store.faults().reply_delay = Duration::from_millis(delay);
    let calling = async {
        sleep(Duration::from_millis(delay * 3 / 2)).await;
        one.store.faults().reply_delay = Duration::ZERO;
        call.await
    };
    soon(join(one.start(), calling)).await
}

/// The second request finds a claim of its own process before the process has the reply to it.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_under_way_is_not_released_by_another_request() {
    let one = alone(|builder| builder).await;
    let (source, second) = claim_and(&one, 100, one.start()).await;
    assert!(second.is_none(), "it attaches to the run");
    finish(source.unwrap(), &["a"]);
    assert_whole(one.attach().await, &["a"]).await;
}

/// The stop finds the claim of its own process before the process has the reply to it.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_under_way_is_stopped_as_a_run() {
    let one = alone(|builder| builder).await;
    let (_source, is_stopped) = claim_and(&one, 100, one.cancel()).await;
    assert!(is_stopped);
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
}

/// A client of another process finds the claim before the owner has the reply to it.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_under_way_is_not_released_for_a_watcher() {
    let (one, other) = two().await;
    let (source, live) = claim_and(&one, 500, other.attach()).await;
    finish(source.unwrap(), &["a"]);
    assert_whole(live, &["a"]).await;
}

/// A paused process reads the reply when it continues. By then, another process has the key.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_read_after_its_lease_starts_nothing() {
    let (one, other) = two().await;
    let starting = claiming(&one, one.start()).await;
    one.store.faults().reply_delay = Duration::from_secs(30);
    sleep(Duration::from_millis(15)).await;
    one.store.faults().delay = Duration::ZERO;
    one.store.faults().reply_delay = Duration::ZERO;
    let _source = other.start().await.expect("the lease has expired");
    assert!(soon(starting).await.is_none(), "it attaches to the other run");
    assert_eq!(one.runs.stats().started + other.runs.stats().started, 1);
}

#[tokio::test(start_paused = true)]
async fn claim_that_others_overtake_is_tried_again_for_a_lease() {
    let one = alone(|builder| builder).await;
    one.store.faults().is_overtaken = true;
    let asked = Instant::now();
    assert_eq!(one.try_start(&KEY, None).await.unwrap_err(), StartError::Unavailable);
    let refused = asked.elapsed();
    assert!(LEASE <= refused && refused <= LEASE + Duration::from_secs(1), "{refused:?}");
    assert!(one.store.count("look") <= 200, "it waits between looks");
    let healing = after(LEASE / 2, || one.store.faults().is_overtaken = false);
    let (started, ()) = tokio::join!(one.start(), healing);
    assert!(started.is_some());
}

/// The claim is lost between the look and the next call of the request.
#[tokio::test(start_paused = true)]
async fn request_whose_run_vanishes_after_the_look_starts_another() {
    let (one, other, _source) = started(&["a"]).await;
    sleep(LEASE / 4).await;
    one.store.go_away();
    other.store.faults().delay = DELAY;
    let vanishing = after(DELAY * 3 / 2, || one.store.lose_claims());
    let (started, ()) = tokio::join!(other.start(), vanishing);
    assert!(started.is_some());
}

// Claims that the store loses between the calls of one request.

/// How long each call of the store takes.
const DELAY: Duration = Duration::from_millis(100);

/// Sends requests until the answer is not a refusal.
async fn ask(process: &Process, last: Option<&LastEventId>, case: &str) {
    let asking = async {
        loop {
            match process.status(last).await {
                503 => sleep(DELAY).await,
                status => return status,
            }
        }
    };
    assert_eq!(soon(asking).await, 200, "{case}");
}

/// Loses the claim `moment` milliseconds after a request, so that the key has no run, or an earlier
/// run, which has failed. The owner reconnects a second later.
async fn loss_at(has_earlier: bool, ends: bool, seen: Option<u64>, moment: u64) {
    let case = format!("{has_earlier}, ends: {ends}, {seen:?}, {moment} ms");
    let (one, other) = two().await;
    if has_earlier {
        one.start().await.unwrap().send(Err("failed")).unwrap();
        sleep(Duration::from_secs(1)).await;
        // The clock of epochs isn't paused, and the store orders runs by their milliseconds.
        std::thread::sleep(Duration::from_millis(2));
    }
    one.store.network.take_snapshot();
    let source = one.start().await.unwrap();
    send(&source, &["a", "b"]);
    sleep(Duration::from_secs(2)).await;
    let source = Some(source).filter(|_| !ends);
    sleep(Duration::from_secs(u64::from(ends))).await;
    let last = seen.map(|seen| one.id(seen));
    other.store.faults().delay = DELAY;
    let losing = async {
        sleep(Duration::from_millis(moment)).await;
        one.store.go_away();
        one.store.put_back();
        sleep(Duration::from_secs(1)).await;
        one.store.come_back().await;
    };
    tokio::join!(ask(&other, last.as_ref(), &case), losing);
    other.store.faults().delay = Duration::ZERO;
    assert_eq!(other.outcomes(), [], "{case}");
    drop(source);
    sleep(Duration::from_secs(5)).await;
    assert_whole(other.attach().await, &["a", "b"]).await;
}

/// The owner of the run restores the claim. If there is no earlier run, a request without an id
/// also gets the run.
#[tokio::test(start_paused = true)]
async fn run_whose_claim_vanishes_during_a_request_is_not_unknown() {
    let all = [None, Some(0), Some(1), Some(2)];
    for (has_earlier, seen) in [(false, &all[..]), (true, &all[1..])] {
        for ends in [false, true] {
            for seen in seen {
                for moment in [50, 150, 250, 350, 450] {
                    loss_at(has_earlier, ends, *seen, moment).await;
                }
            }
        }
    }
}

// Claims that the process gives back, because a drain begins or the request leaves before the call.

#[tokio::test(start_paused = true)]
async fn claim_that_a_drain_overtakes_is_given_back_before_it_ends() {
    for (grace, replaces, leaves) in
        [(0, false, false), (0, true, false), (5, false, false), (0, false, true)]
    {
        let (one, other) = two().await;
        let _earlier = if replaces { other.start().await } else { None };
        let starting = claiming(&one, one.runs.replace(&KEY, None, || source().1)).await;
        let starting = OptionFuture::from((!leaves).then_some(starting));
        let draining = async {
            let begun = Instant::now();
            one.runs.drain(Duration::from_secs(grace)).await;
            (begun.elapsed(), one.store.is_live(&KEY))
        };
        let (started, (took, is_live)) = soon(join(starting, draining)).await;
        assert!(took < Duration::from_secs(1) && !is_live, "{took:?}, {is_live}");
        let refused = if replaces { StartError::Unavailable } else { StartError::Draining };
        assert_eq!(started.map(Result::err), (!leaves).then_some(Some(refused)));
        assert_eq!((one.runs.stats().started, one.outcomes()), (0, vec![]), "there was no run");
        assert!(other.start().await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn claimed_run_that_a_drain_ends_before_its_start_calls_no_source() {
    for (replaces, refused) in [(false, StartError::Draining), (true, StartError::Unavailable)] {
        let (one, other) = two().await;
        let _earlier = if replaces { other.start().await } else { None };
        let mut is_called = false;
        let call = || {
            is_called = true;
            source().1
        };
        let starting = claiming(&one, one.runs.replace(&KEY, None, call)).await;
        // The reply comes, but the request is not polled.
        sleep(Duration::from_millis(10)).await;
        one.runs.drain(Duration::ZERO).await;
        assert_eq!(soon(starting).await.err(), Some(refused));
        assert!(!is_called);
    }
}

/// The reply to the abandoned claim arrives after the next request has its own claim.
#[tokio::test(start_paused = true)]
async fn late_reply_to_an_abandoned_claim_ends_no_other_run() {
    let (one, other) = two().await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    let mut starting = Box::pin(one.start());
    waits(102, &mut starting).await;
    assert!(one.store.has_claim(&KEY), "the store has the claim");
    drop(starting);
    one.store.faults().reply_delay = Duration::ZERO;
    let source = soon(one.start()).await.expect("a call");
    sleep(Duration::from_secs(1)).await;
    finish(source, &["a"]);
    assert_whole(other.attach().await, &["a"]).await;
    assert_eq!(one.outcomes(), [Outcome::Completed]);
}

#[tokio::test(start_paused = true)]
async fn two_processes_start_the_key_of_a_returned_claim_once() {
    for claimed in [false, true] {
        let (one, other) = two().await;
        other.store.faults().delay = Duration::from_millis(10);
        let leaving = claiming(&one, one.start()).await;
        if claimed {
            sleep(Duration::from_millis(10)).await;
            assert_eq!(one.runs.stats().running, 1, "the claim is answered");
        }
        drop(leaving);
        let (here, there) = soon(async { tokio::join!(one.start(), other.start()) }).await;
        assert_eq!(here.iter().chain(&there).count(), 1, "{claimed}");
        finish(here.or(there).unwrap(), &["a"]);
        assert_whole(one.attach().await, &["a"]).await;
        assert_whole(other.attach().await, &["a"]).await;
        let stats = [&one, &other].map(|process| process.runs.stats());
        assert_eq!(stats.iter().map(|stats| stats.started).sum::<u64>(), 1, "{claimed}");
        assert!(stats.iter().all(|stats| stats.running == 0), "{claimed}");
        let outcomes = [one.outcomes(), other.outcomes()].concat();
        assert_eq!(outcomes, [Outcome::Completed], "{claimed}");
    }
}
