//! The decoded events of a run.

use crate::*;

async fn recorded(runs: &Runs, events: Vec<Event>) -> Run {
    let run = runs.start(&turn(), None, || stream::iter(events)).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    run
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_run_are_its_events() {
    let events = vec![Event::from("a"), Event::new().event("usage").data("two\nlines")];
    let run = recorded(&Runs::new(), events).await;
    let messages = run.messages().unwrap();
    let parts: Vec<_> = messages.iter().map(|message| (&*message.event, &*message.data)).collect();
    assert_eq!(parts, [("message", "a"), ("usage", "two\nlines")]);
    assert!(messages[1].last_event_id.ends_with("-2"));
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_large_run_are_complete() {
    let text = "x".repeat(1000);
    let events = (0..1000).map(|at| Event::from(format!("{at} {text}"))).collect();
    let run = recorded(&Runs::new(), events).await;
    let messages = run.messages().unwrap();
    assert_eq!(messages.len(), 1000);
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(message.data, format!("{at} {text}"));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_none_if_an_event_was_evicted() {
    let runs = Runs::builder().retain_bytes(300).build();
    let events = (0..10).map(|at| Event::from(format!("event {at}"))).collect();
    assert!(recorded(&runs, events).await.messages().is_none());
}

#[tokio::test(start_paused = true)]
async fn run_without_events_has_no_messages() {
    assert_eq!(recorded(&Runs::new(), Vec::new()).await.messages(), Some(Vec::new()));
}
