//! Tasks that end before their work is done: by a panic, or because their runtime is dropped.

use tokio::runtime::{Builder, Runtime};

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
            other.cluster().mirrors.load_all();
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
    let broken_at = Instant::now();
    one.cluster().exports.break_export(one.epoch());
    one.cluster().exports.synchronize(one.epoch());
    assert_fails(watching, &[], Some(Outcome::Interrupted)).await;
    assert!(broken_at.elapsed() <= Duration::from_secs(1), "{:?}", broken_at.elapsed());
    assert_eq!(soon(run.ended()).await, Some(Outcome::Interrupted), "here, too");
    sleep(LEASE * 3).await;
    send(&whole, &["b"]);
    drop(whole);
    assert_whole(beside, &["a", "b"]).await;
    assert_eq!(one.outcomes(), [Outcome::Interrupted, Outcome::Completed]);
    assert_eq!(other.outcomes(), [], "its owner was alive");
    assert!(one.start().await.is_some(), "its key is free");
}

/// The store is away when the exporter gives the run up.
#[tokio::test(start_paused = true)]
async fn run_whose_export_panics_is_given_up_once_the_store_returns() {
    let (one, _other, _broken, watching) = watched(&["a"]).await;
    let run = one.get().await.unwrap();
    one.store.go_away();
    one.cluster().exports.break_export(one.epoch());
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

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Lets a request send its first command to the store, which belongs to the runtime `tasks`, and
/// read the reply. Then polls the request for `time`.
fn look(request: &mut (impl Future + Unpin), requests: &Runtime, tasks: &Runtime, time: Duration) {
    let answer = || tasks.block_on(async { sleep(Duration::from_millis(1)).await });
    assert!(requests.block_on(async { request.now_or_never() }).is_none());
    answer();
    assert!(requests.block_on(async { timeout(time, request).await }).is_err());
    answer();
}

/// The store has not executed the claim, or its reply comes too late.
#[test]
fn run_whose_claim_ends_with_the_runtime_of_its_request_never_was() {
    for (delay, has_claim) in [(0, false), (10, true)] {
        let (tasks, requests) = (runtime(), runtime());
        let (one, other) = tasks.block_on(two());
        one.store.faults().reply_delay = Duration::from_millis(delay);
        let mut starting = Box::pin(one.start());
        look(&mut starting, &requests, &tasks, Duration::from_millis(delay * 3 / 2));
        assert_eq!(one.store.has_claim(&key()), has_claim);
        drop(requests);
        drop(starting);
        assert_eq!(one.runs.stats().running, 0);
        tasks.block_on(async {
            let dropped = Instant::now();
            assert!(soon(other.start()).await.is_some());
            assert!(dropped.elapsed() <= Duration::from_secs(1), "{:?}", dropped.elapsed());
        });
        assert_eq!((one.outcomes(), other.outcomes()), (vec![], vec![]));
    }
}

#[test]
fn request_whose_load_ends_with_its_runtime_is_refused() {
    let (tasks, requests) = (runtime(), runtime());
    let (_one, other, _source) = tasks.block_on(started(&["a"]));
    tasks.block_on(async { sleep(Duration::from_secs(2)).await });
    let (key, get) = (key(), request(None));
    let mut first = Box::pin(other.runs.answer(&key, &get));
    look(&mut first, &requests, &tasks, Duration::ZERO);
    drop(requests);
    let answer = tasks.block_on(async { soon(first).await }).expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(tasks.block_on(other.status(None)), 200, "the next one loads again");
}
