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

/// More subscriptions than one call of `publish` wakes by itself.
const MANY: usize = 130_000;

/// Returns a hub, a counter of wake-ups for each runtime, and the clients, which wait in the
/// runtimes in turn.
fn many_asleep<const N: usize>(runtimes: [&Runtime; N]) -> (Hub, [Arc<Wakes>; N], Vec<Client>) {
    let (hub, wakes) = (Hub::new(), [(); N].map(|()| Wakes::new()));
    let asleep = |n: usize| {
        let _entered = runtimes[n % N].enter();
        asleep(&hub, &["a"], &wakes[n % N].1)
    };
    let clients = (0..MANY).map(asleep).collect();
    (hub, wakes.map(|(count, _)| count), clients)
}

/// Returns a runtime that a thread drives, and one that is not driven.
fn driven_and_idle() -> (Runtime, Runtime) {
    let driven = Builder::new_multi_thread().worker_threads(1).build();
    (driven.unwrap(), Builder::new_current_thread().enable_time().build().unwrap())
}

#[test]
fn very_many_subscribers_are_woken_whichever_runtime_publishes_or_closes() {
    let (driven, idle) = driven_and_idle();
    let (hub, [count], mut clients) = many_asleep([&driven]);
    let all_woken = || wait(until(|| count.get() == MANY));
    idle.block_on(hub.publish("a", Event::from("x"))).unwrap();
    all_woken();
    for client in &mut clients {
        let _entered = driven.enter();
        assert_eq!(client.read_with(&Waker::from(Arc::clone(&count))).len(), 1);
    }
    count.take();
    idle.block_on(async { hub.close() });
    all_woken();
}

#[test]
fn subscribers_are_woken_although_the_runtime_of_others_is_blocked() {
    let (driven, blocked) = driven_and_idle();
    for runtimes in [[&blocked, &driven], [&driven, &blocked]] {
        let (hub, counts, _clients) = many_asleep(runtimes);
        blocked.block_on(hub.publish("a", Event::from("x"))).unwrap();
        wait(until(|| counts.each_ref().map(|count| count.get()) == [MANY / 2; 2]));
    }
}

/// `.ci/slow sleepers` prints the times.
#[test]
#[ignore = "needs two idle processors and 2 GB"]
fn half_of_a_million_tasks_does_not_wait_for_a_blocked_runtime() {
    let times = [false, true].map(|blocks| [false, true].map(|other| million(blocks, other)));
    println!("both runtimes driven, one blocked; published in the first, in the other: {times:?}");
    for (driven, blocked) in times[0].into_iter().zip(times[1]) {
        assert!(blocked <= driven * 3 / 2, "{driven:?} {blocked:?}");
    }
}

/// Returns the time until the last of 500,000 tasks in one runtime has received an event. Another
/// 500,000 tasks wait for the event in another runtime. If `blocks` is set, that runtime is
/// blocked, and if `publishes_in_other` is set, it publishes the event.
fn million(blocks: bool, publishes_in_other: bool) -> Duration {
    const HALF: usize = 500_000;
    let hub = Hub::builder().max_memory(1 << 30).build();
    let driven = || Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (first, other) = (driven(), driven());
    let counts = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
    for _ in 0..HALF {
        for (number, runtime) in [&first, &other].into_iter().enumerate() {
            let _entered = runtime.enter();
            let (mut events, counts) = (hub.subscribe(["a"]).resume(None), Arc::clone(&counts));
            drop(runtime.spawn(async move {
                let polled = poll_fn(|cx| Poll::Ready(events.poll_next_unpin(cx))).await;
                assert!(polled.is_pending());
                counts[2].fetch_add(1, SeqCst);
                assert!(events.next().await.is_some());
                counts[number].fetch_add(1, SeqCst);
            }));
        }
    }
    wait(until(|| counts[2].load(SeqCst) == 2 * HALF));
    let (release, released) = mpsc::channel::<()>();
    if blocks {
        let (begin, begun) = mpsc::channel();
        drop(other.spawn(async move {
            begin.send(()).unwrap();
            _ = released.recv();
        }));
        begun.recv().unwrap();
    }
    let publisher = if publishes_in_other { &other } else { &first };
    let published = Instant::now();
    publisher.block_on(hub.publish("a", Event::from("x"))).unwrap();
    wait(until(|| counts[0].load(SeqCst) == HALF));
    let elapsed = published.elapsed();
    assert!(!blocks || counts[1].load(SeqCst) == 0, "nobody drives it");
    drop(release);
    wait(until(|| counts[1].load(SeqCst) == HALF));
    elapsed
}

#[test]
fn publish_wakes_125_000_subscribers_and_their_runtime_the_others() {
    let (_, idle) = driven_and_idle();
    let (hub, [count], _clients) = many_asleep([&idle]);
    publish(&hub, "a", "x");
    assert_eq!(count.get(), 125_000);
    idle.block_on(until(|| count.get() == MANY));
}

#[test]
fn very_many_subscribers_outside_of_runtimes_are_woken_at_once() {
    let (driven, _) = driven_and_idle();
    let hub = Hub::new();
    let (count, waker) = Wakes::new();
    let _clients: Vec<_> = (0..MANY).map(|_| asleep(&hub, &["a"], &waker)).collect();
    driven.block_on(hub.publish("a", Event::from("x"))).unwrap();
    assert_eq!(count.get(), MANY);
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
