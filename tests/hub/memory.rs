//! The hub takes the memory that its limit counts and its documentation states.

use crate::*;

const EVENTS: usize = 1024;

#[test]
fn event_takes_112_bytes_besides_its_size_on_the_wire() {
    for len in [1, 100, 1000] {
        let hub = Hub::new();
        let data = "x".repeat(len);
        // The count includes the topic, and the spare capacity of the topic's list of events.
        let counted = measure(|| (0..EVENTS).for_each(|_| _ = publish(&hub, "a", &data)));
        let wire = format!("data: {data}\nid: {}\n\n", id(&hub, EVENTS as u64)).len();
        let more = counted.bytes_current as f64 / EVENTS as f64 - wire as f64;
        assert!((90.0..125.0).contains(&more), "{more} bytes more than {wire}");
    }
}

#[test]
fn topic_takes_560_bytes_besides_its_name_and_events() {
    // The tables that all topics share grow in powers of two. This number is between two of them.
    const TOPICS: usize = 3 << 13;
    let names: Vec<_> = (0..TOPICS).map(|n| format!("client:{n:08}")).collect();
    let hub = Hub::new();
    let counted = measure(|| names.iter().for_each(|name| _ = publish(&hub, name, "hello")));
    let wire = format!("data: hello\nid: {}\n\n", id(&hub, TOPICS as u64)).len();
    let event = wire + 112 + names[0].len();
    let more = counted.bytes_current as f64 / TOPICS as f64 - event as f64;
    assert!((460.0..660.0).contains(&more), "{more} bytes more than {event}");
}

#[test]
fn default_hub_holds_90_000_topics_with_a_small_event() {
    let hub = Hub::new();
    (0..100_000).for_each(|n| _ = publish(&hub, &format!("client:{n:08}"), "hello"));
    let topics = hub.stats().topics;
    assert!((85_000..95_000).contains(&topics), "{topics} topics");
}

#[test]
fn index_of_own_ids_takes_800_bytes_and_60_for_each_message() {
    let hub = Hub::builder().retention(Retention::new().events(EVENTS)).build();
    let resume = || {
        let ids = |message: &Message| Some(message.data.as_str().into());
        drop(hub.subscribe_to("a").own_ids(ids).resume(last_id("unknown")));
    };
    let mut index = 0;
    for n in 0..4 * EVENTS {
        publish(&hub, "a", &n.to_string());
        index += measure(resume).bytes_current;
        let kept = EVENTS.min(n + 1);
        assert!(index < 800 + 60 * kept as i64, "{index} bytes for {kept}");
    }
    assert!(index > 20 * EVENTS as i64, "{index} bytes");
}

/// The hub does not count this memory, because an empty topic goes with its last subscriber.
#[test]
fn empty_topic_takes_no_more_memory_than_one_with_an_event() {
    const TOPICS: usize = 3 << 13;
    let names: Vec<_> = (0..TOPICS).map(|n| format!("client:{n:08}")).collect();
    let hub = Hub::new();
    let mut subscription = None;
    let counted = measure(|| subscription = Some(hub.subscribe(&names).resume(None)));
    let each = counted.bytes_current as f64 / TOPICS as f64 - names[0].len() as f64;
    assert!((300.0..500.0).contains(&each), "{each} bytes with its place in the subscription");
    let mut client = Client::new(subscription.unwrap());
    // A single poll does not visit all topics.
    let counted = measure(|| (0..100).for_each(|_| assert!(client.poll().is_pending())));
    let each = counted.bytes_current as f64 / TOPICS as f64;
    assert!((10.0..50.0).contains(&each), "{each} bytes more for a subscriber that waits");
}

#[tokio::test(start_paused = true)]
async fn topic_frees_the_memory_of_evicted_events() {
    let hub = Hub::builder().retention(Retention::new().age(Duration::from_millis(1))).build();
    let subscription = hub.subscribe(["a"]).resume(None);
    let burst = measure(|| (0..EVENTS).for_each(|_| _ = publish(&hub, "a", "x")));
    assert!(burst.bytes_current > 100_000);
    advance(Duration::from_millis(5)).await;
    let next = measure(|| _ = publish(&hub, "b", "x"));
    let left = burst.bytes_current + next.bytes_current;
    assert!(left < 10_000, "{left} bytes, and no event");
    drop(subscription);
}

#[test]
fn duplicate_topic_names_take_no_memory() {
    let hub = Hub::new();
    let mut subscription = None;
    let counted = measure(|| {
        subscription = Some(hub.subscribe(iter::repeat_n("a", 4_000)).resume(None));
    });
    assert!(counted.bytes_current < 2_000, "{} bytes", counted.bytes_current);
}

#[test]
fn event_above_the_memory_limit_evicts_no_other_topic() {
    // The first size exceeds the limit only because the topic itself counts, the second because of
    // the bookkeeping of its event.
    for size in [9_500, 9_900, 10_000] {
        let hub = Hub::builder().max_memory(10_000).build();
        let mut client = subscribed(&hub, &["large"]);
        for topic in ["a", "b", "c"] {
            publish(&hub, topic, "x");
        }
        publish(&hub, "large", &"x".repeat(size));
        assert_eq!(client.read(), ["gap large@4"]);
        assert_eq!(read(&hub, &["a", "b", "c"], id(&hub, 0)), ["x@1", "x@2", "x@3"]);
    }
}

/// Names can be long, and the hub remembers many removed topics.
#[test]
fn removed_topic_is_not_remembered_by_its_name() {
    let name = "x".repeat(1 << 16);
    let hub = Hub::builder().max_memory(0).build();
    let counted = measure(|| {
        for n in 0..100 {
            publish(&hub, &format!("{name}{n}"), "x");
        }
    });
    assert!(counted.bytes_current < 20_000, "{} bytes", counted.bytes_current);
    assert_eq!(read(&hub, &[&format!("{name}7")], id(&hub, 7)).len(), 1, "a gap");
}

/// Clients can choose names, so a crowd's table of topics must not stay when it has left.
#[test]
fn names_that_a_crowd_has_left_take_no_memory() {
    let names: Vec<_> = (0..100_000).map(|n| format!("client:{n:08}")).collect();
    let hub = Hub::new();
    let _stays = hub.subscribe_to("a").resume(None);
    let mut subscriptions = Vec::with_capacity(names.len());
    let counted = measure(|| {
        subscriptions.extend(names.iter().map(|name| hub.subscribe_to(name).resume(None)));
        subscriptions.clear();
    });
    assert_eq!(hub.stats().topics, 1);
    assert!(counted.bytes_current < 100_000, "{} bytes", counted.bytes_current);
}

/// The topic stays, because it keeps an event.
#[test]
fn crowd_that_waited_in_a_topic_leaves_no_memory() {
    let (hub, (_, waker)) = (Hub::new(), Wakes::new());
    publish(&hub, "a", "x");
    let counted = measure(|| {
        let clients: Vec<_> = (0..20_000).map(|_| asleep(&hub, &["a"], &waker)).collect();
        drop(clients);
    });
    assert!(counted.bytes_current < 1_000, "{} bytes", counted.bytes_current);
}

/// One large event takes the memory of many small topics.
#[test]
fn large_events_evict_many_small_topics() {
    const LIMIT: usize = 4 << 20;
    for are_subscribed in [false, true] {
        let (mut hub, mut subscriptions) = (Hub::new(), Vec::new());
        let small = measure(|| {
            hub = Hub::builder().max_memory(LIMIT).build();
            for n in 0..5_000 {
                let topic = format!("small {n}");
                if are_subscribed {
                    subscriptions.push(hub.subscribe_to(&topic).resume(None));
                }
                publish(&hub, &topic, "x");
            }
        });
        let text = "x".repeat(256 << 10);
        let large = measure(|| {
            for n in 0..40 {
                let topic = format!("large {n}");
                subscriptions.push(hub.subscribe_to(&topic).resume(None));
                publish(&hub, &topic, &text);
            }
        });
        // Subscriptions and empty topics are not counted by the limit.
        let uncounted = if are_subscribed { 5_040 * 1024 } else { 40 * 1024 };
        let bytes = small.bytes_current + large.bytes_current;
        let most = i64::try_from(LIMIT + LIMIT / 4 + uncounted).unwrap();
        assert!(bytes < most, "{bytes} of {most} bytes, subscribed: {are_subscribed}");
    }
}
