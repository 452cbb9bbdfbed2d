//! Every order in which publishers and a subscriber can run.
#![cfg(tower_sse_loom)]

use std::{env, pin::pin, process::Command};

use futures_util::StreamExt;
use loom::{future::block_on, model::Builder, thread};
use tower_sse::{
    Encoded, Event, LastEventId,
    hub::{Broken, Hub, PublishError, Subscription},
};

/// Checks all orders.
fn check(model: impl Fn() + Sync + Send + 'static) {
    check_with(None, model);
}

/// Checks all orders with so many involuntary switches between threads.
fn check_with(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

fn publish(hub: &Hub, topic: &'static str) -> Result<u64, PublishError> {
    let receipt = hub.publish_now(topic, Event::from(topic))?;
    Ok(sequence(receipt.id().as_str()))
}

fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// The sequence numbers of the events in a piece.
fn sequences(piece: &Encoded) -> Vec<u64> {
    let text = std::str::from_utf8(piece.as_bytes()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(sequence).collect()
}

/// Waits for so many events. loom finds out if it sleeps for ever.
fn receive(subscription: Subscription, count: usize) -> Vec<u64> {
    block_on(async move {
        let mut subscription = pin!(subscription);
        let mut received = Vec::new();
        while received.len() < count {
            let piece = subscription.next().await.expect("an event");
            received.extend(sequences(&piece));
        }
        received
    })
}

fn one_topic(broken: Broken) {
    check(move || {
        let hub = Hub::builder().broken(broken).build();
        let subscription = hub.subscribe(["a"]).resume(None);
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || publish(&hub, "a").unwrap()
        });
        assert_eq!(receive(subscription, 1), [1]);
        publisher.join().unwrap();
        assert_eq!(hub.subscriber_count("a"), 0);
    });
}

#[test]
fn an_event_that_is_published_meanwhile_is_received() {
    one_topic(Broken::Not);
}

#[test]
fn events_that_are_published_meanwhile_to_two_topics_are_received_in_order() {
    check_with(Some(3), || {
        let hub = Hub::new();
        let subscription = hub.subscribe(["a", "b"]).resume(None);
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || publish(&hub, "a").unwrap()
        });
        let other = thread::spawn({
            let hub = hub.clone();
            move || publish(&hub, "b").unwrap()
        });
        assert_eq!(receive(subscription, 2), [1, 2]);
        let published = [publisher.join().unwrap(), other.join().unwrap()];
        assert!(published == [1, 2] || published == [2, 1], "{published:?}");
    });
}

#[test]
fn a_subscription_that_begins_meanwhile_gets_all_after_the_position_that_it_begins_at() {
    check_with(Some(3), || {
        let hub = Hub::new();
        let publisher = thread::spawn({
            let hub = hub.clone();
            move || [publish(&hub, "a").unwrap(), publish(&hub, "a").unwrap()]
        });
        let position = hub.position();
        let seen = sequence(position.as_str());
        let subscription = hub.subscribe(["a"]).resume(LastEventId::from(position));
        let unseen: Vec<_> = (seen + 1..=2).collect();
        assert_eq!(receive(subscription, unseen.len()), unseen);
        assert_eq!(publisher.join().unwrap(), [1, 2]);
    });
}

/// In a process of its own, which loom aborts when it finds that threads sleep for ever.
fn is_found(broken: &str, symptom: &str) {
    let run = Command::new(env::current_exe().unwrap())
        .args(["--exact", broken, "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "{output}");
    assert!(output.contains(symptom), "{output}");
}

#[test]
fn a_subscription_that_sleeps_on_what_is_not_committed_is_found() {
    is_found("sleeps_on_uncommitted", "deadlock");
}

/// The publisher may have woken everybody already.
#[test]
#[ignore = "it fails, and another test expects that"]
fn sleeps_on_uncommitted() {
    one_topic(Broken::SleepsOnUncommitted);
}

#[test]
fn a_publisher_that_commits_without_the_lock_is_found() {
    is_found("commits_late", "exceeded maximum number of branches");
}

/// Between the two a subscription goes round and round for as long as the publisher does not run.
#[test]
#[ignore = "it fails, and another test expects that"]
fn commits_late() {
    one_topic(Broken::CommitsLate);
}

#[test]
fn closing_ends_a_subscription_after_what_was_published() {
    check(|| {
        let hub = Hub::new();
        let subscription = hub.subscribe(["a"]).resume(None);
        let closer = thread::spawn({
            let hub = hub.clone();
            move || hub.close()
        });
        let published = publish(&hub, "a");
        let received: Vec<u64> =
            block_on(subscription.map(|piece| sequences(&piece)).collect::<Vec<_>>()).concat();
        closer.join().unwrap();
        assert_eq!(hub.topics().len(), received.len(), "none that came into being for nothing");
        assert_eq!(received, published.into_iter().collect::<Vec<_>>());
    });
}

#[test]
fn a_subscription_that_is_dropped_meanwhile_leaves_nothing() {
    check(|| {
        let hub = Hub::new();
        let subscription = hub.subscribe(["a"]).resume(None);
        let leaver = thread::spawn(move || {
            let mut subscription = subscription;
            let waker = std::task::Waker::noop();
            _ = subscription.poll_next_unpin(&mut std::task::Context::from_waker(waker));
        });
        publish(&hub, "a").unwrap();
        leaver.join().unwrap();
        assert_eq!(hub.subscriber_count("a"), 0);
        assert_eq!(hub.publish_now("a", Event::from("a")).unwrap().subscribers(), 0);
    });
}

#[test]
fn a_topic_that_goes_meanwhile_is_found_again() {
    check(|| {
        let hub = Hub::new();
        let leaving = hub.subscribe(["a"]).resume(None);
        let leaver = thread::spawn(move || drop(leaving));
        let subscription = hub.subscribe(["a"]).resume(None);
        publish(&hub, "a").unwrap();
        assert_eq!(receive(subscription, 1), [1]);
        leaver.join().unwrap();
    });
}
