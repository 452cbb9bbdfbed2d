//! Tasks that panic.

use std::task::{Context, Wake};

use super::*;

#[tokio::test(start_paused = true)]
async fn request_whose_load_panics_is_refused_and_the_next_one_loads_again() {
    let (_one, other, _source) = started(&["a"]).await;
    sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        other.store.faults().load_panics = true;
        assert_eq!(other.status(None).await, 503);
    }
    assert_eq!(read(&mut other.attach().await, 1).await, ["a"]);
}

/// The next load follows at once if it was requested meanwhile, and otherwise within a lease.
#[tokio::test(start_paused = true)]
async fn load_that_panics_is_made_again() {
    for (asks, limit) in [(2, Duration::from_millis(30)), (1, LEASE)] {
        let (_one, other, source, mut live) = watched(&["a"]).await;
        other.store.faults().loses_pushes = true;
        send(&source, &["b"]);
        sleep(Duration::from_millis(10)).await;
        other.store.faults().delay = Duration::from_millis(10);
        other.store.faults().load_panics = true;
        let asked = Instant::now();
        for _ in 0..asks {
            other.store.cluster().mirrors.reload();
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(read(&mut live, 1).await, ["b"]);
        assert!(!other.store.faults().load_panics, "a load has panicked");
        assert!(asked.elapsed() < limit, "{:?}", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn run_whose_export_panics_is_given_up_and_the_others_go_on() {
    let (one, other, _broken, watching) = watched(&["a"]).await;
    let whole = one.start_as(&key_of(1)).await;
    send(&whole, &["a"]);
    let beside = other.attach_as(&key_of(1)).await;
    let run = one.get().await.unwrap();
    one.store.cluster().exports.break_export(one.epoch());
    one.store.cluster().exports.synchronize(one.epoch());
    let failing = assert_fails(watching, &[], Some(Outcome::Interrupted));
    within(Duration::from_secs(1), failing).await;
    assert_eq!(soon(run.ended()).await, Some(Outcome::Interrupted), "here, too");
    sleep(LEASE * 3).await;
    finish(whole, &["b"]);
    assert_whole(beside, &["a", "b"]).await;
    assert_eq!(one.outcomes(), [Outcome::Interrupted, Outcome::Completed]);
    assert_eq!(other.outcomes(), [], "its owner was alive");
    assert!(one.start().await.is_some(), "its key is free");
}

/// The process loses the store and connects again before the export panics. Then a reply is lost.
#[tokio::test(start_paused = true)]
async fn run_whose_export_panics_is_given_up_once_the_store_returns() {
    let (one, _other, _broken, watching) = watched(&["a"]).await;
    let run = one.get().await.unwrap();
    one.store.go_away();
    one.store.cluster().exports.break_export(one.epoch());
    one.store.come_back().await;
    one.store.faults().lost_replies = 1;
    assert_fails(watching, &[], Some(Outcome::Interrupted)).await;
    assert_eq!(soon(run.ended()).await, Some(Outcome::Interrupted));
}

/// The run's export is tried again. The task that looks after all runs goes on in any case, and
/// pauses after each panic.
#[tokio::test(start_paused = true)]
async fn run_whose_export_panics_twice_is_whole() {
    const PANICS: usize = 1_000;
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(2)).await;
    one.store.faults().panics = 2;
    send(&source, &["b"]);
    sleep(LEASE / 2).await;
    assert_eq!(one.store.faults().panics, 0);
    one.store.faults().panics = PANICS;
    sleep(2 * LEASE).await;
    let panics = PANICS - one.store.faults().panics;
    assert!((2..100).contains(&panics), "{panics} panics in {:?}", 2 * LEASE);
    one.store.faults().panics = 0;
    drop(source);
    assert_whole(other.attach().await, &["a", "b"]).await;
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[tokio::test(start_paused = true)]
async fn request_starts_its_run_although_the_waker_of_another_panics() {
    let one = alone(|builder| builder).await;
    let starting = claiming(&one, one.start()).await;
    let mut waiting = Box::pin(one.runs.replace(&KEY, None, stream::pending::<Event>));
    let waker = Arc::new(Panics).into();
    assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    let (runs, begin) = (one.runs.clone(), Instant::now());
    let behind =
        tokio::spawn(async move { runs.replace(&KEY, None, stream::pending::<Event>).await });
    tokio::task::yield_now().await;
    assert!(soon(starting).await.is_some());
    assert!(behind.await.unwrap().is_ok());
    assert!(begin.elapsed() < LEASE / 2, "it waits for the key behind the other request");
}

#[tokio::test(start_paused = true)]
async fn connection_is_kept_after_a_panic() {
    let (one, other, source) = started(&["a"]).await;
    one.store.faults().reconnection_panics = true;
    for text in ["b", "c"] {
        one.store.go_away();
        send(&source, &[text]);
        one.store.come_back().await;
    }
    assert!(!one.store.faults().reconnection_panics);
    drop(source);
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
}
