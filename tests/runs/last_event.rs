//! A run that is cancelled with a last event.

use crate::*;

fn usage() -> Event {
    Event::new().event("usage").id("foreign").comment("no").data("12 tokens")
}

fn small() -> Runs {
    Runs::builder().retain_bytes(4_000).build()
}

async fn cancel(rig: &Rig) -> bool {
    rig.runs.cancel_with(&turn(), None, usage()).await
}

#[tokio::test(start_paused = true)]
async fn attached_client_receives_it_and_then_a_clean_end() {
    let ends: Arc<Mutex<Vec<RunEnd>>> = Arc::default();
    let seen = Arc::clone(&ends);
    let runs = Runs::builder().on_end(move |end| seen.lock().unwrap().push(end.clone())).build();
    let (rig, feed, mut client) = Rig::new(runs).running().await;
    let next = sibling(&client.last, 2);
    assert!(cancel(&rig).await);
    // An event that the source yields now is not recorded, neither before nor after the last event.
    feed.data("data: b\n\n");
    assert_eq!(client.read().await, ["12 tokens"]);
    assert_eq!(client.end, Some(End::Clean));
    assert_eq!(client.last, next);
    let bytes = String::from_utf8(client.bytes).unwrap();
    assert!(bytes.ends_with(&format!("event: usage\ndata: 12 tokens\nid: {next}\n\n")), "{bytes}");
    let ends = ends.lock().unwrap();
    let [end] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!((end.outcome, end.events), (Outcome::Cancelled, 2));
}

#[tokio::test(start_paused = true)]
async fn run_that_is_starting_is_cancelled_without_it() {
    let rig = Rig::new(Runs::new());
    let pending = rig.call(post()).await;
    assert!(cancel(&rig).await);
    assert_eq!(pending.answer().await.status(), 404);
    let run = rig.runs.get(&turn()).await.unwrap();
    assert_eq!((run.outcome(), run.messages()), (Some(Outcome::Cancelled), Some(vec![])));
}

#[tokio::test(start_paused = true)]
async fn event_that_cannot_be_recorded_is_dropped_and_the_run_cancelled() {
    let large = Event::from("x".repeat(4_000));
    for event in [large, Event::new(), Event::new().comment("no"), Event::new().id(7)] {
        let (rig, _feed, mut client) = Rig::new(small()).running().await;
        assert!(rig.runs.cancel_with(&turn(), None, event).await);
        assert_eq!(client.read().await, [""; 0]);
        assert_eq!(client.end, Some(End::Clean));
    }
}

#[tokio::test(start_paused = true)]
async fn client_of_a_full_run_receives_all_events_and_the_last_one() {
    let (rig, feed, mut client) = Rig::new(small()).running().await;
    for number in 0..20 {
        feed.data(format!("data: {number}\ndata: {}\n\n", "x".repeat(500)));
    }
    settle().await;
    assert!(cancel(&rig).await);
    let received = client.read().await;
    let events = received.iter().filter_map(|data| data.split_once('\n')).map(|(number, _)| number);
    let count = events.clone().count();
    assert!(count > 0 && events.eq((0..count).map(|number| number.to_string())));
    assert_eq!((&**received.last().unwrap(), client.end), ("12 tokens", Some(End::Clean)));
    assert_eq!(rig.runs.stats().lagged, 0);
}

/// Without clients, the run keeps its newest events. The last event takes the place of the oldest
/// events.
#[tokio::test(start_paused = true)]
async fn full_run_evicts_its_oldest_events_for_it() {
    let (rig, feed, client) = Rig::new(small()).running().await;
    for _ in 0..20 {
        feed.data(format!("data: {}\n\n", "x".repeat(500)));
    }
    settle().await;
    drop(client);
    settle().await;
    let memory = rig.runs.stats().memory;
    assert!(cancel(&rig).await);
    assert!(rig.runs.stats().memory <= memory, "it takes the place of others");
}
