//! Models of publishers and a subscriber, checked in all interleavings, or in those with few
//! involuntary thread switches.
#![cfg(tower_sse_loom)]

use std::task::{Context, Poll};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use loom::{future::block_on, model::Builder, thread, thread::JoinHandle};
use tower_sse::hub::{Hub, PublishError, Subscription};
use tower_sse::{Event, LastEventId, event::Encoded};

/// Checks all interleavings, or those with at most `preemptions` involuntary thread switches.
fn check(preemptions: Option<usize>, model: impl Fn(Hub) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || model(Hub::new()));
}

/// Runs `work` in another thread.
fn beside<R: 'static>(hub: &Hub, work: impl FnOnce(&Hub) -> R + 'static) -> JoinHandle<R> {
    let hub = hub.clone();
    thread::spawn(move || work(&hub))
}

fn publish(hub: &Hub, topic: &'static str) -> Result<u64, PublishError> {
    let receipt = hub.publish_now(topic, Event::from(topic))?;
    Ok(sequence(receipt.id().as_str()))
}

fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

fn sequences(item: &Encoded) -> Vec<u64> {
    let text = std::str::from_utf8(item.as_bytes()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(sequence).collect()
}

/// Receives `count` events. loom reports a deadlock if an event never comes.
fn receive(mut subscription: impl Stream<Item = Encoded> + Unpin, count: usize) -> Vec<u64> {
    block_on(async move {
        let mut received = Vec::new();
        while received.len() < count {
            let item = subscription.next().await.expect("an event");
            received.extend(sequences(&item));
        }
        received
    })
}

/// Polls a pending subscription a second time without a wake, as hyper does after it has sent an
/// event.
fn polled_twice(mut subscription: Subscription) -> impl Stream<Item = Encoded> + Unpin {
    let mut waker = None;
    stream::poll_fn(move |cx| {
        // Both polls must pass equal wakers. `block_on`'s waker may be unequal to its clones.
        let mut cx = Context::from_waker(waker.get_or_insert_with(|| cx.waker().clone()));
        match subscription.poll_next_unpin(&mut cx) {
            Poll::Pending => subscription.poll_next_unpin(&mut cx),
            ready => ready,
        }
    })
}

#[test]
fn concurrently_published_event_is_received() {
    check(None, |hub| {
        let subscription = hub.subscribe(["a"]).resume(None);
        let publisher = beside(&hub, |hub| publish(hub, "a").unwrap());
        assert_eq!(receive(subscription, 1), [1]);
        publisher.join().unwrap();
        assert_eq!(hub.subscriber_count("a"), 0);
    });
}

#[test]
fn event_published_while_waiting_subscription_is_polled_is_received() {
    let five = &["b", "c", "d", "e", "a"];
    for (preemptions, topics) in [(None, &["a"][..]), (Some(3), &["a", "b"]), (Some(2), five)] {
        check(preemptions, move |hub| {
            let subscription = polled_twice(hub.subscribe(topics).resume(None));
            let publisher = beside(&hub, |hub| publish(hub, "a").unwrap());
            assert_eq!(receive(subscription, 1), [1]);
            publisher.join().unwrap();
        });
    }
}

#[test]
fn close_while_waiting_subscription_is_polled_ends_it() {
    for (preemptions, topics) in [(None, &["a"][..]), (Some(3), &["a", "b"])] {
        check(preemptions, move |hub| {
            let subscription = polled_twice(hub.subscribe(topics).resume(None));
            let closer = beside(&hub, |hub| hub.close());
            assert_eq!(block_on(subscription.count()), 0);
            closer.join().unwrap();
        });
    }
}

#[test]
fn events_of_two_concurrent_publishers_are_received_in_order() {
    check(Some(3), |hub| {
        let subscription = hub.subscribe(["a", "b"]).resume(None);
        let publisher = beside(&hub, |hub| publish(hub, "a").unwrap());
        let other = beside(&hub, |hub| publish(hub, "b").unwrap());
        assert_eq!(receive(subscription, 2), [1, 2]);
        let published = [publisher.join().unwrap(), other.join().unwrap()];
        assert!(published == [1, 2] || published == [2, 1], "{published:?}");
    });
}

/// A subscription of five topics reads from a heap.
#[test]
fn events_of_two_of_five_topics_are_received_in_order() {
    check(Some(2), |hub| {
        let subscription = hub.subscribe(["a", "b", "c", "d", "e"]).resume(None);
        let publisher = beside(&hub, |hub| publish(hub, "a").unwrap());
        let other = beside(&hub, |hub| publish(hub, "e").unwrap());
        assert_eq!(receive(subscription, 2), [1, 2]);
        let published = [publisher.join().unwrap(), other.join().unwrap()];
        assert!(published == [1, 2] || published == [2, 1], "{published:?}");
    });
}

#[test]
fn subscription_started_during_publishing_receives_all_events_after_its_position() {
    check(Some(3), |hub| {
        let publisher =
            beside(&hub, |hub| [publish(hub, "a").unwrap(), publish(hub, "a").unwrap()]);
        let position = hub.position();
        let seen = sequence(position.as_str());
        let subscription = hub.subscribe(["a"]).resume(LastEventId::from(position));
        let unseen: Vec<_> = (seen + 1..=2).collect();
        assert_eq!(receive(subscription, unseen.len()), unseen);
        assert_eq!(publisher.join().unwrap(), [1, 2]);
    });
}

#[test]
fn concurrently_reported_loss_is_received() {
    check(None, |hub| {
        let subscription = hub.subscribe(["a"]).resume(None);
        let reader = beside(&hub, |hub| hub.report_loss(1));
        // The gap's sequence number.
        assert_eq!(receive(subscription, 1), [1]);
        reader.join().unwrap();
    });
}

/// One thread feeds events and reports losses, as a broker's reader does.
#[test]
fn loss_is_received_between_the_events_before_and_after_it() {
    check(Some(3), |hub| {
        let subscription = hub.subscribe(["a"]).resume(None);
        let reader = beside(&hub, |hub| {
            publish(hub, "a").unwrap();
            hub.report_loss(2);
            publish(hub, "a").unwrap();
        });
        assert_eq!(receive(subscription, 3), [1, 2, 3]);
        reader.join().unwrap();
    });
}

#[test]
fn subscription_started_during_a_loss_receives_it_unless_it_starts_after_it() {
    check(Some(3), |hub| {
        let reader = beside(&hub, |hub| hub.report_loss(1));
        let position = hub.position();
        let seen = sequence(position.as_str());
        let subscription = hub.subscribe(["a"]).resume(LastEventId::from(position));
        // If the event is published first, its number is 1, and `report_loss(1)` reports nothing.
        let unseen: Vec<_> = (seen + 1..=publish(&hub, "a").unwrap()).collect();
        assert_eq!(receive(subscription, unseen.len()), unseen);
        reader.join().unwrap();
    });
}

#[test]
fn close_ends_a_subscription_after_the_events_published_before() {
    check(None, |hub| {
        let subscription = hub.subscribe(["a"]).resume(None);
        let closer = beside(&hub, |hub| hub.close());
        let published = publish(&hub, "a");
        let received: Vec<u64> =
            block_on(subscription.map(|item| sequences(&item)).collect::<Vec<_>>()).concat();
        closer.join().unwrap();
        assert_eq!(hub.topics().len(), received.len(), "a failed publish leaves no topic");
        assert_eq!(received, published.into_iter().collect::<Vec<_>>());
    });
}

#[test]
fn subscription_dropped_during_publishing_leaves_its_topic() {
    check(None, |hub| {
        let subscription = hub.subscribe(["a"]).resume(None);
        let leaver = thread::spawn(move || {
            let mut subscription = subscription;
            _ = subscription.next().now_or_never();
        });
        publish(&hub, "a").unwrap();
        leaver.join().unwrap();
        assert_eq!(hub.subscriber_count("a"), 0);
        assert_eq!(hub.publish_now("a", Event::from("a")).unwrap().subscribers, 0);
    });
}

#[test]
fn topic_removed_during_publishing_is_created_again() {
    check(None, |hub| {
        let leaving = hub.subscribe(["a"]).resume(None);
        let leaver = thread::spawn(move || drop(leaving));
        let subscription = hub.subscribe(["a"]).resume(None);
        publish(&hub, "a").unwrap();
        assert_eq!(receive(subscription, 1), [1]);
        leaver.join().unwrap();
    });
}
