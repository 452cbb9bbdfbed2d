//! Which subscribers are woken, and how often.

use crate::*;

#[test]
fn event_wakes_each_waiting_subscriber_of_its_topic_once_and_no_other() {
    // The hub handles few wakers differently from many.
    for sleepers in [1, 8, 9, 1000] {
        let hub = Hub::new();
        let (count, waker) = Wakes::new();
        let (others, other_waker) = Wakes::new();
        let mut clients: Vec<_> =
            (0..sleepers).map(|_| asleep(&hub, &["a", "b"], &waker)).collect();
        let _others: Vec<_> = (0..10).map(|_| asleep(&hub, &["b", "c"], &other_waker)).collect();
        for round in 1..=3 {
            publish(&hub, "a", "x");
            assert_eq!(count.get(), round * sleepers);
            publish(&hub, "a", "x");
            assert_eq!(count.get(), round * sleepers, "they are awake");
            for client in &mut clients {
                assert_eq!(client.read_with(&waker).len(), 2);
            }
        }
        publish(&hub, "unsubscribed", "x");
        assert_eq!((count.get(), others.get()), (3 * sleepers, 0));
        publish(&hub, "b", "x");
        assert_eq!((count.get(), others.get()), (4 * sleepers, 10));
    }
}

#[test]
fn events_are_received_however_many_other_topics_changed_since() {
    for others in [0, 1, 29, 30, 31, 32, 33, 64, 100] {
        let hub = Hub::new();
        let (count, waker) = Wakes::new();
        let mut client = asleep(&hub, &["a", "b"], &waker);
        for round in 1..=3 {
            publish(&hub, "b", "x");
            (0..others).for_each(|_| _ = publish(&hub, "other", "x"));
            publish(&hub, "a", "x");
            assert_eq!(client.read_with(&waker).len(), 2, "after {others} others");
            assert_eq!(count.get(), 2 * round, "both topics have woken it");
        }
    }
}

#[test]
fn close_wakes_all_subscribers() {
    let hub = Hub::new();
    let (count, waker) = Wakes::new();
    let mut clients = ["a", "b", "c"].map(|topic| asleep(&hub, &[topic], &waker));
    hub.close();
    assert_eq!(count.get(), 3);
    for client in &mut clients {
        assert_eq!(client.poll_with(&waker), Poll::Ready(None));
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1 + clients.len(), "each may keep its own, and no topic");
}

#[test]
fn dropped_subscription_leaves_no_waker() {
    let hub = Hub::new();
    let (count, waker) = Wakes::new();
    let topics = ["busy", "quiet", "other"];
    // This subscription keeps the topics after the clients have left.
    let _stays = hub.subscribe(topics).resume(None);
    let mut clients: Vec<_> = (0..20).map(|_| asleep(&hub, &topics, &waker)).collect();
    for _ in 0..100 {
        publish(&hub, "busy", "x");
        for client in &mut clients {
            client.read_with(&waker);
            assert!(client.poll_with(&waker).is_pending(), "polled without a wakeup");
        }
    }
    let most = 2 + clients.len() * (topics.len() + 1);
    assert!(Arc::strong_count(&count) <= most, "one in each topic, and its own");
    // Ten clients leave while they sleep. The other ten leave after an event has woken them.
    drop(clients.split_off(10));
    publish(&hub, "busy", "x");
    drop(clients);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn moved_subscription_wakes_the_new_task_only() {
    let hub = Hub::new();
    let (old, old_waker) = Wakes::new();
    let (new, new_waker) = Wakes::new();
    let mut client = asleep(&hub, &["a", "b"], &old_waker);
    assert!(client.poll_with(&new_waker).is_pending());
    drop(old_waker);
    assert_eq!(Arc::strong_count(&old), 1, "nothing of it is left");
    for (woken, topic) in [(1, "a"), (2, "b"), (3, "a")] {
        publish(&hub, topic, "x");
        assert_eq!((old.get(), new.get()), (0, woken));
        client.read_with(&new_waker);
    }
}

const WINDOW: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn flush_window_collects_a_burst_into_one_wakeup() {
    let hub = Hub::new();
    let (count, waker) = Wakes::new();
    let mut client = Client::new(hub.subscribe(["a"]).flush_window(WINDOW).resume(None));
    assert!(client.poll_with(&waker).is_pending());
    publish(&hub, "a", "x");
    assert_eq!(client.read_with(&waker), ["x@1"], "the first at once");
    for _ in 0..10 {
        publish(&hub, "a", "x");
        assert!(client.poll_with(&waker).is_pending());
    }
    assert_eq!(count.get(), 2);
    advance(WINDOW).await;
    assert_eq!(count.get(), 3);
    let Poll::Ready(Some(messages)) = client.poll_with(&waker) else {
        panic!("the window is open")
    };
    assert_eq!(messages.len(), 10, "in one item");
}

#[tokio::test(start_paused = true)]
async fn flush_window_opens_after_the_first_gaps_and_the_greeting() {
    let malformed = || Some(last_id("?"));
    let hello = || Event::new().event("hello").data("hello");
    for (greeting, last, first) in [
        (None, malformed(), &["gap a@0", "gap b@0"][..]),
        (Some(hello()), malformed(), &["gap a@0", "gap b@0", "hello@0"]),
        (Some(hello()), None, &["hello@0"]),
    ] {
        let hub = Hub::new();
        let subscribe = hub.subscribe(["a", "b"]).flush_window(WINDOW);
        let subscribe = match greeting {
            Some(greeting) => subscribe.greeting(greeting),
            None => subscribe,
        };
        let mut client = Client::new(subscribe.resume(last));
        assert_eq!(client.read(), first);
        publish_all(&hub, ["a1", "b2"]);
        assert!(client.read().is_empty(), "in the window after {first:?}");
        advance(WINDOW).await;
        assert_eq!(client.read(), ["a1@1", "b2@2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn flush_window_of_any_length_delays_events_after_the_first() {
    let hub = Hub::new();
    let mut client = Client::new(hub.subscribe(["a"]).flush_window(Duration::MAX).resume(None));
    publish_all(&hub, ["a1", "a2"]);
    assert_eq!(client.read(), ["a1@1", "a2@2"]);
    publish(&hub, "a", "a3");
    advance(Duration::from_secs(30 * 24 * 3600)).await;
    assert!(client.read().is_empty());
}
