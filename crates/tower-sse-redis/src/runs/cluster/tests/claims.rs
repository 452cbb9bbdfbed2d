use futures_util::{FutureExt, future::join_all};

use super::*;

#[tokio::test(start_paused = true)]
async fn simultaneous_requests_do_not_use_up_the_owners_limit() {
    let one = alone(|builder| builder.max_running_per_owner(1)).await;
    one.store.faults().delay = Duration::from_millis(1);
    let started = soon(join_all((0..20).map(|_| one.start()))).await;
    assert_eq!(started.iter().flatten().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_lost_is_released_and_started_once() {
    let (one, other) = two().await;
    // The store answers the look, but not the claim.
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

/// A paused process reads the reply when it continues. By then, another process has the key.
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
    assert_eq!(one.runs.stats().started + other.runs.stats().started, 1);
}

#[tokio::test(start_paused = true)]
async fn claim_that_others_overtake_is_tried_again_for_a_lease() {
    let one = alone(|builder| builder).await;
    one.store.faults().is_overtaken = true;
    let asked = Instant::now();
    let refused = one.try_start(&key(), None).await;
    assert!(matches!(refused, Err(StartError::Unavailable)));
    let refused = asked.elapsed();
    assert!(LEASE <= refused && refused <= LEASE + Duration::from_secs(1), "{refused:?}");
    assert!(one.store.server().commands["look"] <= 200, "it waits between looks");
    let healing = async {
        sleep(LEASE / 2).await;
        one.store.faults().is_overtaken = false;
    };
    let (started, ()) = tokio::join!(one.start(), healing);
    assert!(started.is_some());
}

/// A run of an earlier epoch can take the key meanwhile, and end without a stream, if two processes
/// have claimed the key at the same time.
#[tokio::test(start_paused = true)]
async fn request_whose_run_vanishes_after_the_look_starts_another() {
    const TRIP: Duration = Duration::from_millis(100);
    let (one, other, _source) = started(&["a"]).await;
    sleep(LEASE / 4).await;
    one.store.go_away();
    other.store.faults().delay = TRIP;
    let vanishing = async {
        sleep(TRIP * 3 / 2).await;
        one.store.server().claims.clear();
    };
    let (started, ()) = tokio::join!(other.start(), vanishing);
    assert!(started.is_some());
}
