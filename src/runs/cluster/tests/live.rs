use super::*;
use crate::{options::StreamOptions, runs::cluster::seam::head};

#[tokio::test(start_paused = true)]
async fn client_of_another_process_reads_a_run_live_and_after_its_end() {
    let (one, other, source) = started(&["a", "b"]).await;
    let mut live = other.attach().await;
    assert_eq!(read(&mut live, 2).await, ["a", "b"]);
    send(&source, &["c"]);
    assert_eq!(read(&mut live, 1).await, ["c"]);
    drop(source);
    assert_whole(live, &[]).await;
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
    assert_whole(one.attach().await, &["a", "b", "c"]).await;
}

#[tokio::test(start_paused = true)]
async fn event_reaches_a_watcher_at_another_process_within_10_milliseconds() {
    let (_one, _other, source, mut live) = watched(&["first"]).await;
    for _ in 0..20 {
        sleep(Duration::from_millis(700)).await;
        let sent = Instant::now();
        send(&source, &["x"]);
        read(&mut live, 1).await;
        assert!(sent.elapsed() <= Duration::from_millis(10), "{:?}", sent.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn client_resumes_at_another_process() {
    let (_one, other, source) = started(&["a", "b", "c"]).await;
    let run = other.get().await.unwrap();
    let mut first = run.attach(None).await.unwrap();
    assert_eq!(read(&mut first, 3).await, ["a", "b", "c"]);
    drop(first);
    let answer = other.answer(Some(&id(&run, 2))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    drop(source);
    assert_eq!(text(answer).await, format!("data: c\nid: {}-3\n\n", run.record.epoch));
}

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
async fn handlers_options_reach_clients_of_other_processes() {
    let (one, other) = two().await;
    let source = one.start().await.unwrap();
    let record = one.get().await.unwrap().record;
    let options = StreamOptions::new().terminator("[DONE]");
    record.lock().options = Some(Box::new(options.clone()));
    send(&source, &["a"]);
    let mirror = other.get().await.unwrap().record;
    read(&mut other.attach().await, 1).await;
    let received = mirror.options().expect("options");
    assert_eq!(head::encode(Some(&received)), head::encode(Some(&options)));
}

#[tokio::test(start_paused = true)]
async fn client_whose_id_is_ahead_of_the_export_waits_for_it() {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(5)).await;
    // Read at the owner, and not exported yet.
    send(&source, &["b"]);
    let run = one.get().await.unwrap();
    let mut own = run.attach(None).await.unwrap();
    read(&mut own, 2).await;
    let answer = other.answer(Some(&id(&run, 2))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    send(&source, &["c"]);
    drop(source);
    assert_eq!(text(answer).await, format!("data: c\nid: {}-3\n\n", run.record.epoch));
}

#[tokio::test(start_paused = true)]
async fn id_that_no_process_has_assigned_is_refused_after_a_short_wait() {
    let (one, other) = two().await;
    let _source = one.start().await.unwrap();
    let run = other.get().await.unwrap();
    let started = Instant::now();
    assert_eq!(other.status(Some(&id(&run, 7))).await, 503);
    assert!(started.elapsed() <= LEASE / 4 + Duration::from_secs(2));
    // Malformed ids and those of other runs wait for nothing.
    let started = Instant::now();
    for id in ["x", "1-1", &format!("{}-9007199254740993", run.record.epoch)] {
        assert_eq!(other.status(Some(&LastEventId::try_from(id).unwrap())).await, 404, "{id}");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn stranger_does_not_find_a_run_of_another_process() {
    let (one, other, _source) = started(&["secret"]).await;
    let run = one.get().await.unwrap();
    let stranger = RunKey::new("stranger", "turn").unwrap();
    assert!(other.runs.get(&stranger).await.is_none());
    let parts = request(Some(&id(&run, 0)));
    assert!(other.runs.answer(&stranger, &parts).await.is_none());
    assert!(!other.runs.cancel(&stranger, None).await);
    let (_source, stream) = self::source();
    let started = other.runs.start(&stranger, &parts, || stream).await;
    assert!(started.is_err());
}

#[tokio::test(start_paused = true)]
async fn quiet_run_is_kept_alive_without_events() {
    let (_one, _other, source, live) = watched(&["a"]).await;
    // Longer than `abandon_after`: a client elsewhere counts as attached.
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
