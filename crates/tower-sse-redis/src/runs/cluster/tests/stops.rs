use futures_util::{FutureExt, stream};

use super::*;

/// The hint to the owner is lost, so the owner learns of the stop only at the next request.
#[tokio::test(start_paused = true)]
async fn next_run_at_the_owner_cancels_one_that_was_stopped_elsewhere() {
    for is_replaced in [false, true] {
        let (one, other, first) = started(&["a"]).await;
        let mut client = one.attach().await;
        read(&mut client, 1).await;
        one.store.faults().loses_pushes = true;
        if is_replaced {
            let (_, second) = other.replace().await;
            second.send(Err("broken")).unwrap();
            sleep(Duration::from_millis(20)).await;
        } else {
            assert!(other.cancel().await);
        }
        let next = soon(one.start()).await.expect("the key is free");
        assert_fails(client, &[], Some(Outcome::Cancelled)).await;
        assert!(first.is_closed(), "the source is dropped");
        assert_eq!(one.outcomes(), [Outcome::Cancelled]);
        drop(next);
        assert_whole(other.attach().await, &[]).await;
    }
}

/// If the hint were ignored, the run would continue until the next renewal of its lease.
#[tokio::test(start_paused = true)]
async fn stop_during_a_renewal_ends_the_run_at_once() {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_millis(1500)).await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    one.cluster().exports.synchronize(one.epoch());
    sleep(Duration::from_millis(50)).await;
    assert!(other.cancel().await);
    sleep(Duration::from_millis(300)).await;
    assert!(source.is_closed(), "the source is dropped");
    assert_eq!(one.outcomes(), [Outcome::Cancelled]);
}

/// The run has no event whose export would reveal that the store lacks the run's head.
#[tokio::test(start_paused = true)]
async fn idle_run_that_begins_during_a_renewal_begins_elsewhere_too() {
    let (one, other) = two().await;
    let answer = one.call();
    sleep(Duration::from_millis(1)).await;
    one.store.faults().reply_delay = Duration::from_millis(100);
    // The owner is told that the run is watched.
    let run = other.get().await.expect("a run");
    sleep(Duration::from_millis(50)).await;
    answer.send(Ok(stream::pending())).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(run.attach(None).now_or_never().is_some(), "it has begun");
}

/// The store tells the clients of the call that another run has the key.
#[tokio::test(start_paused = true)]
async fn client_of_a_call_without_a_stream_gets_the_keys_next_run() {
    let (one, other) = two().await;
    let answer = one.call();
    sleep(Duration::from_millis(1)).await;
    other.store.faults().delay = Duration::from_millis(10);
    let key = key();
    let mut starting = Box::pin(other.runs.start(&key, None, || source().1));
    assert!((&mut starting).now_or_never().is_none());
    // By then, the request has found the call, but has not subscribed to it yet.
    sleep(Duration::from_millis(15)).await;
    assert!((&mut starting).now_or_never().is_none());
    answer.send(Err(())).unwrap();
    sleep(Duration::from_millis(2)).await;
    let source = one.start().await.expect("the key is free");
    send(&source, &["a"]);
    drop(source);
    let run = soon(starting).await.unwrap();
    assert_whole(run.attach(None).await.expect("a run"), &["a"]).await;
}
