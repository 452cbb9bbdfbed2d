//! Claims whose request leaves before its call is made. The process gives them back.

use futures_util::FutureExt;

use super::*;

/// Drops a request while its claim is under way or, with `claimed`, after the store has answered
/// the claim.
async fn leave_during_the_claim(one: &Process, claimed: bool) {
    one.store.faults().delay = Duration::from_millis(10);
    let mut starting = Box::pin(one.start());
    assert!((&mut starting).now_or_never().is_none());
    sleep(Duration::from_millis(15)).await;
    assert!((&mut starting).now_or_never().is_none(), "the look is answered");
    if claimed {
        sleep(Duration::from_millis(10)).await;
        assert_eq!(one.runs.stats().running, 1, "the claim is answered");
    }
}

#[tokio::test(start_paused = true)]
async fn only_calls_that_are_made_count_as_started() {
    let one = alone(|builder| builder).await;
    for claimed in [false, true] {
        leave_during_the_claim(&one, claimed).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!((one.runs.stats().started, one.runs.stats().running), (0, 0), "{claimed}");
    }
    assert!(one.start().await.is_some());
    assert_eq!(one.runs.stats().started, 1);
}

/// The next request of the process finds the claim before the process has given it back.
#[tokio::test(start_paused = true)]
async fn call_that_was_never_made_is_never_interrupted() {
    let (one, other) = two().await;
    let busy = one.start_as(&key_of(1)).await;
    sleep(Duration::from_secs(2)).await;
    one.store.faults().delay = Duration::from_millis(10);
    let mut starting = Box::pin(one.start());
    assert!((&mut starting).now_or_never().is_none());
    sleep(Duration::from_millis(15)).await;
    assert!((&mut starting).now_or_never().is_none(), "the look is answered");
    sleep(Duration::from_millis(30)).await;
    let elsewhere = other.get().await.expect("a call that has not answered");
    let waiting = tokio::spawn(async move { elsewhere.ended().await });
    // The exporter is waiting for a reply when the process has to give the claim back.
    one.store.faults().delay = Duration::ZERO;
    one.store.faults().reply_delay = Duration::from_millis(100);
    send(&busy, &["a"]);
    let pipelines = one.store.server().pipelines;
    while one.store.server().pipelines == pipelines {
        sleep(Duration::from_millis(1)).await;
    }
    one.store.faults().reply_delay = Duration::ZERO;
    drop(starting);
    let source = soon(one.start()).await.expect("a call");
    assert_eq!(soon(waiting).await.unwrap(), None, "there was no run");
    send(&source, &["a"]);
    drop(source);
    assert_whole(other.attach().await, &["a"]).await;
    assert_eq!(one.outcomes(), [Outcome::Completed]);
    assert_eq!((one.runs.stats().started, other.runs.stats().started), (2, 0));
}

/// The reply to the abandoned claim arrives after the next request has its own claim.
#[tokio::test(start_paused = true)]
async fn late_reply_to_an_abandoned_claim_ends_no_other_run() {
    let (one, other) = two().await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    let mut starting = Box::pin(one.start());
    assert!((&mut starting).now_or_never().is_none());
    sleep(Duration::from_millis(101)).await;
    assert!((&mut starting).now_or_never().is_none(), "the look is answered");
    sleep(Duration::from_millis(1)).await;
    assert!(one.store.server().claims.contains_key(&key()), "the store has the claim");
    drop(starting);
    one.store.faults().reply_delay = Duration::ZERO;
    let source = soon(one.start()).await.expect("a call");
    sleep(Duration::from_secs(1)).await;
    send(&source, &["a"]);
    drop(source);
    assert_whole(other.attach().await, &["a"]).await;
    assert_eq!(one.outcomes(), [Outcome::Completed]);
}

#[tokio::test(start_paused = true)]
async fn two_processes_start_the_key_of_a_returned_claim_once() {
    for claimed in [false, true] {
        let (one, other) = two().await;
        other.store.faults().delay = Duration::from_millis(10);
        leave_during_the_claim(&one, claimed).await;
        let (here, there) = soon(async { tokio::join!(one.start(), other.start()) }).await;
        assert_eq!(here.iter().chain(&there).count(), 1, "{claimed}");
        let source = here.or(there).unwrap();
        send(&source, &["a"]);
        drop(source);
        assert_whole(one.attach().await, &["a"]).await;
        assert_whole(other.attach().await, &["a"]).await;
        assert_eq!(one.runs.stats().started + other.runs.stats().started, 1, "{claimed}");
        let outcomes = [one.outcomes(), other.outcomes()].concat();
        assert_eq!(outcomes, [Outcome::Completed], "{claimed}");
    }
}
