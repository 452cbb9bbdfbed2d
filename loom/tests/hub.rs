//! Every order in which a publisher and a subscriber can run, as far as loom's bounds go.
#![cfg(tower_sse_loom)]

use std::{env, pin::pin, process::Command};

use futures_util::StreamExt;
use loom::{future::block_on, model::Builder, thread};
use tower_sse::{
    Encoded, Event,
    hub::{Broken, Hub, PublishError, Subscription},
};

/// Checks all orders with so many involuntary switches between threads.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
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
    check(3, move || {
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
#[ignore = "it does not come to an end yet"]
fn an_event_that_is_published_meanwhile_is_received() {
    one_topic(Broken::Not);
}

/// An order in which the hub would lose events. In a process of its own, for loom aborts it when it finds
/// that threads sleep for ever.
#[test]
#[ignore = "it takes minutes"]
fn a_broken_order_is_found() {
    let run = Command::new(env::current_exe().unwrap())
        .args(["--exact", "sleeps_on_uncommitted", "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "{output}");
    assert!(output.contains("deadlock"), "{output}");
}

/// The publisher may have woken everybody already.
#[test]
#[ignore = "it fails, as `a_broken_order_is_found` expects"]
fn sleeps_on_uncommitted() {
    one_topic(Broken::SleepsOnUncommitted);
}

#[test]
fn closing_ends_a_subscription_after_what_was_published() {
    check(3, || {
        let hub = Hub::new();
        let subscription = hub.subscribe(["a"]).resume(None);
        let closer = thread::spawn({
            let hub = hub.clone();
            move || hub.close()
        });
        let published = publish(&hub, "a");
        let received: Vec<u64> =
            block_on(subscription.map(|piece| sequences(&piece)).collect::<Vec<_>>()).concat();
        assert_eq!(received, published.into_iter().collect::<Vec<_>>());
        closer.join().unwrap();
    });
}

#[test]
fn a_subscription_that_is_dropped_meanwhile_leaves_nothing() {
    check(3, || {
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
    check(3, || {
        let hub = Hub::new();
        let leaving = hub.subscribe(["a"]).resume(None);
        let leaver = thread::spawn(move || drop(leaving));
        let subscription = hub.subscribe(["a"]).resume(None);
        publish(&hub, "a").unwrap();
        assert_eq!(receive(subscription, 1), [1]);
        leaver.join().unwrap();
    });
}
