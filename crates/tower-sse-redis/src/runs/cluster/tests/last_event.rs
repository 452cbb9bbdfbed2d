use super::*;

const USAGE: &str = "12 tokens";
/// The sequence number of a last event that another process adds after one event in the store.
const FAR: u64 = 1_000_000_002;

async fn cancel(process: &Process) -> bool {
    soon(process.runs.cancel_with(&key(), None, Event::from(USAGE))).await
}

/// Asserts that a client that has seen the events up to `seen` gets these events and the end.
async fn assert_resumes(process: &Process, seen: u64, expected: &[&str]) {
    let found = process.get().await.unwrap();
    let attachment = soon(found.attach(process.id(seen))).await.expect("an attachment");
    assert_fails(attachment, expected, Some(Outcome::Cancelled)).await;
}

/// Creates two processes, and starts a run whose second event is not exported. A client of the
/// owner has read that event.
async fn ahead() -> (Process, Process, Source, tower_sse::runs::Attachment) {
    let (one, other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(3)).await;
    let mut live = one.attach().await;
    send(&source, &["b"]);
    assert_eq!(read(&mut live, 2).await, ["a", "b"]);
    (one, other, source, live)
}

#[tokio::test(start_paused = true)]
async fn owner_exports_all_events_before_it() {
    let (one, other, _source, live) = ahead().await;
    assert!(cancel(&one).await);
    assert_eq!(one.store.server().streams.values().next().unwrap().end.as_ref().unwrap().newest, 3);
    assert_fails(live, &[USAGE], Some(Outcome::Cancelled)).await;
    for process in [&one, &other] {
        assert_resumes(process, 1, &["b", USAGE]).await;
        assert_resumes(process, 2, &[USAGE]).await;
        assert_resumes(process, 3, &[]).await;
    }
    assert!(!cancel(&one).await && !cancel(&other).await);
}

/// Clients that have seen events that were not exported get the last event too, and no id stands
/// for two events.
#[tokio::test(start_paused = true)]
async fn event_of_another_process_follows_what_the_owner_has_not_exported() {
    let (one, other, _source, live) = ahead().await;
    assert!(cancel(&other).await);
    assert_fails(live, &[USAGE], Some(Outcome::Cancelled)).await;
    assert_fails(other.attach().await, &["a", USAGE], Some(Outcome::Cancelled)).await;
    for process in [&one, &other] {
        assert_resumes(process, 2, &[USAGE]).await;
        assert_resumes(process, FAR, &[]).await;
    }
    let messages = one.get().await.unwrap().messages().unwrap();
    let ids: Vec<_> = messages.iter().map(|message| message.last_event_id.to_string()).collect();
    assert_eq!(ids, [1, 2, FAR].map(|number| one.id(number).as_str().to_owned()));
    let end = one.ends.lock().unwrap()[0].clone();
    assert_eq!((end.outcome, end.events), (Outcome::Cancelled, 3));
    assert!(!cancel(&one).await && !cancel(&other).await);
}

#[tokio::test(start_paused = true)]
async fn owner_finds_it_without_the_hint() {
    let (one, other, _source, live) = ahead().await;
    one.store.faults().loses_pushes = true;
    assert!(cancel(&other).await);
    assert_fails(live, &[USAGE], Some(Outcome::Cancelled)).await;
    assert_resumes(&one, FAR, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn owner_that_was_away_finds_it() {
    let (one, other, _source, live) = ahead().await;
    one.store.go_away();
    assert!(cancel(&other).await);
    sleep(Duration::from_secs(3)).await;
    one.store.come_back();
    assert_fails(live, &[USAGE], Some(Outcome::Cancelled)).await;
    assert_resumes(&other, 2, &[USAGE]).await;
}

/// The export of the run then has a gap in its numbers.
#[tokio::test(start_paused = true)]
async fn owner_restores_it_if_the_store_loses_its_data() {
    for size in [1, 70_000] {
        let (one, other, source) = started(&["a"]).await;
        let last = "x".repeat(size);
        send(&source, &[&last]);
        sleep(Duration::from_secs(3)).await;
        assert!(cancel(&other).await);
        sleep(Duration::from_secs(1)).await;
        one.store.go_away();
        one.store.lose_data();
        one.store.come_back();
        sleep(Duration::from_secs(3)).await;
        let client = other.attach().await;
        assert_fails(client, &["a", &last, USAGE], Some(Outcome::Cancelled)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn process_that_cannot_reach_the_store_cancels_its_own_run_with_it() {
    let (one, other, _source, live) = ahead().await;
    one.store.go_away();
    assert!(cancel(&one).await);
    assert_fails(live, &[USAGE], Some(Outcome::Cancelled)).await;
    one.store.come_back();
    sleep(Duration::from_secs(1)).await;
    assert_resumes(&other, 1, &["b", USAGE]).await;
}
