use futures_util::{FutureExt, future::join_all};

use super::*;

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_of_all_processes_start_one_run() {
    let (one, other) = two().await;
    one.store.faults().delay = Duration::from_millis(1);
    other.store.faults().delay = Duration::from_millis(1);
    let starts = (0..50).map(|at| if at % 2 == 0 { one.start() } else { other.start() });
    let mut sources: Vec<_> = soon(join_all(starts)).await.into_iter().flatten().collect();
    assert_eq!(sources.len(), 1);
    send(&sources[0], &["a"]);
    sources.clear();
    assert_whole(one.attach().await, &["a"]).await;
    assert_whole(other.attach().await, &["a"]).await;
    assert_eq!(one.runs.stats().started() + other.runs.stats().started(), 1);
}

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_do_not_use_up_the_owners_limit() {
    let one = alone(|builder| builder.max_running_per_owner(1)).await;
    one.store.faults().delay = Duration::from_millis(1);
    let started = soon(join_all((0..20).map(|_| one.start()))).await;
    assert_eq!(started.iter().flatten().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn completed_run_is_not_called_again_at_another_process() {
    let (one, other, source) = started(&["a"]).await;
    drop(source);
    assert_whole(one.attach().await, &["a"]).await;
    sleep(Duration::from_millis(100)).await;
    assert!(other.start().await.is_none());
    assert_whole(other.attach().await, &["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn failed_run_is_called_again_at_another_process() {
    let (one, other, source) = started(&["a"]).await;
    source.send(Err("broken")).unwrap();
    assert_fails(other.attach().await, &["a"], Some(Outcome::Failed)).await;
    let again = soon(other.start()).await.expect("a second call");
    send(&again, &["b"]);
    drop(again);
    assert_whole(one.attach().await, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn stop_at_another_process_ends_the_run_everywhere() {
    let (one, other, source) = started(&["a"]).await;
    let own = one.attach().await;
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    assert!(other.cancel().await);
    sleep(Duration::from_millis(100)).await;
    assert!(source.is_closed(), "the source is dropped");
    assert_fails(own, &["a"], Some(Outcome::Cancelled)).await;
    assert_fails(live, &[], Some(Outcome::Cancelled)).await;
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
    assert_eq!(other.outcomes(), [], "its process reports it");
    assert!(!other.cancel().await);
}

#[tokio::test(start_paused = true)]
async fn request_after_a_stop_starts_a_new_run_at_any_process() {
    let (one, other) = two().await;
    for (at, stopping) in [(&one, &one), (&one, &other), (&other, &one)] {
        let source = soon(at.start()).await.expect("a call");
        send(&source, &["old"]);
        assert!(stopping.cancel().await);
        let new = soon(other.start()).await.expect("a call after the stop");
        assert!(one.cancel().await);
        drop(new);
    }
}

#[tokio::test(start_paused = true)]
async fn run_is_replaced_at_another_process() {
    let (one, other, source, live) = watched(&["old"]).await;
    let (run, second) = other.replace().await;
    send(&second, &["new"]);
    drop(second);
    assert_fails(live, &[], Some(Outcome::Cancelled)).await;
    assert_whole(run.attach(None).await.unwrap(), &["new"]).await;
    assert_whole(one.attach().await, &["new"]).await;
    assert!(source.is_closed());
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_lost_is_released_and_started_once() {
    let (one, other) = two().await;
    // The look is answered, the claim is not.
    one.store.faults().delay = Duration::from_millis(10);
    let (_source, stream) = self::source();
    let key = key();
    let mut starting = Box::pin(one.runs.start(&key, None, || stream));
    sleep(Duration::from_millis(5)).now_or_never();
    assert!((&mut starting).now_or_never().is_none());
    sleep(Duration::from_millis(12)).await;
    assert!((&mut starting).now_or_never().is_none());
    one.store.faults().lost_replies = 1;
    assert!(soon(starting).await.is_err());
    one.store.faults().delay = Duration::ZERO;
    let lost = Instant::now();
    assert!(soon(other.start()).await.is_some());
    // Without a release, the key is blocked until the lease has expired.
    assert!(lost.elapsed() <= Duration::from_secs(1), "{:?}", lost.elapsed());
    assert_eq!(one.outcomes(), [], "a run that never was is not reported");
}

#[tokio::test(start_paused = true)]
async fn claim_of_a_request_that_is_dropped_is_released() {
    let (one, other) = two().await;
    one.store.faults().delay = Duration::from_millis(10);
    {
        let starting = one.start();
        let mut starting = Box::pin(starting);
        assert!((&mut starting).now_or_never().is_none());
        sleep(Duration::from_millis(15)).await;
        assert!((&mut starting).now_or_never().is_none());
    }
    sleep(Duration::from_millis(100)).await;
    assert!(other.start().await.is_some());
    assert_eq!(one.outcomes(), []);
    assert_eq!(one.runs.stats().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn claim_that_succeeds_before_its_request_is_dropped_is_released() {
    let (one, other) = two().await;
    one.store.faults().delay = Duration::from_millis(10);
    {
        let mut starting = Box::pin(one.start());
        assert!((&mut starting).now_or_never().is_none());
        sleep(Duration::from_millis(15)).await;
        assert!((&mut starting).now_or_never().is_none());
        sleep(Duration::from_millis(15)).await;
        assert_eq!(one.runs.stats().running(), 1, "the claim has succeeded");
    }
    sleep(Duration::from_millis(100)).await;
    assert!(other.start().await.is_some());
    assert_eq!(one.outcomes(), []);
    assert_eq!(one.runs.stats().running(), 0);
}

/// A process that is stopped reads the reply when it continues. Another one has the key by then.
#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_read_after_its_lease_starts_nothing() {
    let (one, other) = two().await;
    one.store.faults().delay = Duration::from_millis(10);
    let mut starting = Box::pin(one.start());
    assert!((&mut starting).now_or_never().is_none());
    sleep(Duration::from_millis(15)).await;
    assert!((&mut starting).now_or_never().is_none());
    one.store.faults().reply_delay = Duration::from_secs(30);
    sleep(Duration::from_millis(15)).await;
    one.store.faults().delay = Duration::ZERO;
    one.store.faults().reply_delay = Duration::ZERO;
    let _source = other.start().await.expect("the lease has expired");
    assert!(soon(starting).await.is_none(), "it attaches to the other run");
    assert_eq!(one.runs.stats().started() + other.runs.stats().started(), 1);
}

#[tokio::test(start_paused = true)]
async fn claim_that_others_overtake_is_refused_after_sixteen_looks() {
    let one = alone(|builder| builder).await;
    one.store.faults().is_overtaken = true;
    let refused = one.try_start(&key(), None).await;
    assert!(matches!(refused, Err(StartError::Unavailable)));
    assert_eq!(one.store.server().commands["look"], 16);
    one.store.faults().is_overtaken = false;
    assert!(one.start().await.is_some());
}
