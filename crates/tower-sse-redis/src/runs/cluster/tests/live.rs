use super::*;

#[tokio::test(start_paused = true)]
async fn push_that_is_lost_is_found_by_the_next_check() {
    let (_one, other, source, mut live) = watched(&["a"]).await;
    other.store.faults().loses_pushes = true;
    send(&source, &["b", "c"]);
    let sent = Instant::now();
    assert_eq!(read(&mut live, 2).await, ["b", "c"]);
    assert!(sent.elapsed() <= LEASE / 4 + Duration::from_secs(1));
    drop(source);
    assert_whole(live, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn hole_in_the_pushes_is_filled_at_once() {
    let (_one, other, source, mut live) = watched(&["a"]).await;
    other.store.faults().loses_pushes = true;
    send(&source, &["b"]);
    sleep(Duration::from_millis(100)).await;
    other.store.faults().loses_pushes = false;
    send(&source, &["c"]);
    let sent = Instant::now();
    assert_eq!(read(&mut live, 2).await, ["b", "c"]);
    assert!(sent.elapsed() <= Duration::from_millis(20), "{:?}", sent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn id_that_no_process_has_assigned_is_refused_after_a_short_wait() {
    let (one, other) = two().await;
    let _source = one.start().await.unwrap();
    let _run = other.get().await.unwrap();
    let started = Instant::now();
    assert_eq!(other.status(Some(&one.id(7))).await, 503);
    assert!(started.elapsed() <= LEASE / 4 + Duration::from_secs(2));
    // Requests with malformed ids, or with ids of other runs, are refused without a wait.
    let started = Instant::now();
    for id in ["x", "1-1", &format!("{}-9007199254740993", one.epoch())] {
        assert_eq!(other.status(Some(&LastEventId::try_from(id).unwrap())).await, 404, "{id}");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn quiet_run_is_kept_alive_without_events() {
    let (_one, _other, source, live) = watched(&["a"]).await;
    // Waits for longer than `abandon_after`: a client at another process counts as attached.
    sleep(Duration::from_secs(3600)).await;
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn run_without_clients_anywhere_is_abandoned() {
    let (_one, other, source, live) = watched(&["a"]).await;
    drop(live);
    sleep(Duration::from_secs(601) + LEASE).await;
    assert!(source.is_closed());
    assert_fails(other.attach().await, &["a"], Some(Outcome::Abandoned)).await;
}
