//! What a hub keeps, and what it remembers of evicted events and removed topics.

use crate::*;

fn topics(hub: &Hub) -> Vec<String> {
    let mut topics: Vec<_> = hub.topics().iter().map(ToString::to_string).collect();
    topics.sort();
    topics
}

fn size_of(hub: &Hub, data: &str) -> usize {
    format!("data: {data}\nid: {}\n\n", id(hub, 1)).len()
}

#[test]
#[should_panic(expected = "subscribers read only kept events")]
fn retaining_zero_events_panics() {
    _ = Hub::builder().retention(Retention::new().events(0));
}

/// No client or publisher uses the idle topics: publishing to another topic must remove them.
#[tokio::test(start_paused = true)]
async fn idle_topics_are_removed_when_their_events_expire() {
    let hub = Hub::builder().retention(Retention::new().age(10 * MILLISECOND)).build();
    let quiet: Vec<_> = (0..100).map(|n| format!("quiet {n}")).collect();
    for topic in &quiet {
        publish(&hub, topic, "x");
    }
    advance(11 * MILLISECOND).await;
    for _ in 0..20 {
        publish(&hub, "busy", "x");
        advance(MILLISECOND).await;
    }
    assert_eq!(topics(&hub), ["busy"]);
    assert_eq!(read(&hub, &["quiet 7"], id(&hub, 7)), ["gap quiet 7@8"]);
    assert!(read(&hub, &["quiet 7"], id(&hub, 8)).is_empty());
}

/// The hub no longer remembers the first two topics. It knows only the sequence number up to which
/// such topics may have lost events.
#[tokio::test(start_paused = true)]
async fn topics_beyond_the_remembered_ones_have_one_gap_at_the_bound() {
    let hub = Hub::builder().retention(Retention::new().age(MILLISECOND)).build();
    for n in 1..=(1 << 16) + 2 {
        publish(&hub, &format!("t{n}"), "x");
    }
    advance(2 * MILLISECOND).await;
    while topics(&hub).len() > 1 {
        (0..1000).for_each(|_| _ = publish(&hub, "busy", "x"));
    }
    for seen in [0, 1] {
        let gaps = [format!("gap t1@{seen}"), "gap t2@2".to_owned()];
        assert_eq!(read(&hub, &["t1", "t2"], id(&hub, seen)), gaps);
    }
    assert!(read(&hub, &["t1", "t2"], id(&hub, 2)).is_empty());
    assert_eq!(read(&hub, &["t3"], id(&hub, 2)), ["gap t3@3"]);
}

/// Each topic is published to once, like the topics of clients that come and go.
#[tokio::test(start_paused = true)]
async fn expired_topics_are_removed_while_topics_are_added() {
    for (topics_at_once, pause, retained) in [(1, 15, 1000), (20, 1, 4000), (3, 40, 300)] {
        let age = retained / topics_at_once * pause;
        let hub = Hub::builder().retention(Retention::new().age(age as u32 * MILLISECOND)).build();
        let mut most = 0;
        for round in 0..5 * retained / topics_at_once {
            for n in 0..topics_at_once {
                publish(&hub, &format!("client {round}.{n}"), "x");
            }
            if round % 64 == 0 {
                most = most.max(hub.topics().len());
            }
            advance(pause as u32 * MILLISECOND).await;
        }
        let limit = retained + retained / 3 + 64;
        assert!(most <= limit, "{most} topics, and {retained} events are new enough");
    }
}

#[test]
fn panicking_retention_callback_leaves_no_subscriber_behind() {
    let retention_of = |topic: &str| {
        assert_ne!(topic, "panic", "asked for");
        None
    };
    let hub = Hub::builder().retention_of(retention_of).build();
    let subscribe = || hub.subscribe(["a", "b", "panic"]).resume(None);
    assert!(catch_unwind(AssertUnwindSafe(subscribe)).is_err());
    assert_eq!(topics(&hub), [""; 0]);
    assert_eq!(hub.subscriber_count("a"), 0);
    assert_eq!(hub.publish_now("a", Event::from("a1")).unwrap().subscribers, 0);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["a1@1"]);
}

/// Returns a builder whose memory limit is just enough for `topics` topics and `events` events. The
/// names of the topics have one letter, and the data of the events has two.
fn room_for(topics: usize, events: usize) -> HubBuilder {
    let event = size_of(&Hub::new(), "a1") + 112;
    Hub::builder().max_memory(topics * 561 + events * event)
}

#[test]
fn oldest_events_of_all_topics_are_evicted_first() {
    let hub = room_for(7, 8).build();
    let _subscribed = hub.subscribe(["c"]).resume(None);
    publish_all(&hub, ["a1", "b2", "c3", "d4", "b5", "e6", "f7", "g8"]);
    assert_eq!(topics(&hub), ["a", "b", "c", "d", "e", "f", "g"]);
    publish(&hub, "h", "h9");
    // The older event of `b` is evicted first. That is not enough, so `a` is removed too.
    assert_eq!(topics(&hub), ["b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(read(&hub, &["a", "b", "c"], id(&hub, 0)), ["gap a@0", "gap b@2", "c3@3", "b5@5"]);
    publish_all(&hub, ["g10", "i11"]);
    let rest = ["gap c@2", "gap g@3", "d4@4", "g10@10"];
    assert_eq!(read(&hub, &["c", "d", "g"], id(&hub, 2)), rest);
}

#[test]
fn frames_are_evicted_before_events() {
    let hub = room_for(1, 8).build();
    publish_all(&hub, ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
    let all = |seen| read(&hub, &["a"], id(&hub, seen)).len();
    // A client at another position gets another frame.
    assert_eq!([0, 1, 2, 3].map(all), [7, 6, 5, 4]);
    publish(&hub, "a", "a8");
    assert_eq!([0, 1, 2, 3].map(all), [8, 7, 6, 5]);
}

#[test]
fn large_event_is_shared_without_a_copy() {
    let hub = Hub::builder().retention(Retention::new().bytes(64 << 20)).build();
    publish_all(&hub, ["a1", "a2", "a3"]);
    publish(&hub, "a", &"x".repeat(1 << 20));
    publish_all(&hub, ["a5", "a6"]);
    let frames = |seen| {
        let mut subscription = hub.subscribe(["a"]).resume(id(&hub, seen));
        let next = || subscription.next().now_or_never().flatten();
        iter::from_fn(next).map(Bytes::from).collect::<Vec<_>>()
    };
    let [first, other] = [0, 1].map(frames);
    let lens: Vec<_> = first.iter().map(Bytes::len).collect();
    assert!(lens[0] < 1024 && lens[1] > 1 << 20 && lens[2] < 1024, "{lens:?}");
    assert_eq!(first[1].as_ptr(), other[1].as_ptr(), "not copied");
    assert_eq!(first[2].as_ptr(), other[2].as_ptr(), "made once");
}

/// The topics are like those of clients that come and go. Nothing is published.
#[test]
fn removed_topics_leave_no_memory_behind() {
    let hub = Hub::new();
    let names: Vec<Arc<str>> = (0..1000)
        .map(|client| {
            let _subscription = hub.subscribe([format!("client {client}")]).resume(None);
            Arc::clone(&hub.topics()[0])
        })
        .collect();
    assert!(hub.topics().is_empty());
    assert_eq!(names.iter().filter(|name| Arc::strong_count(name) > 1).count(), 0);
}
