//! The figures of a hub, against independent counts.

use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the memory of topics and events: 560 bytes and the name for each topic, and 112 bytes
/// and the size on the wire for each event.
fn memory(hub: &Hub, topics: &[(&str, &[&str])]) -> usize {
    let wire = |data: &str| format!("data: {data}\nid: {}\n\n", id(hub, 1)).len();
    let events = |events: &[&str]| events.iter().map(|data| wire(data) + 112).sum::<usize>();
    topics.iter().map(|(name, kept)| 560 + name.len() + events(kept)).sum()
}

#[test]
fn events_topics_and_memory_are_those_that_the_hub_keeps() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let mut empty = HubStats::default();
    empty.gaps_by_reason = hub.stats().gaps_by_reason;
    assert_eq!(hub.stats(), empty);
    publish_all(&hub, ["a1", "a2", "b3", "a4", "a5"]);
    publish(&hub, "a longer name", "some text");
    let stats = hub.stats();
    assert_eq!((stats.events, stats.topics, stats.evicted), (4, 3, 2));
    let longer = ("a longer name", &["some text"][..]);
    let kept = [("a", &["a4", "a5"][..]), ("b", &["b3"]), longer];
    assert_eq!(stats.memory, memory(&hub, &kept));

    // The memory does not include topics without events.
    let _subscription = hub.subscribe_to("empty").resume(None);
    assert_eq!(hub.stats().topics, 4);
    assert_eq!(hub.stats().memory, stats.memory);
    assert_eq!(hub.clone().stats(), hub.stats());
}

#[tokio::test(start_paused = true)]
async fn replaced_value_does_not_count_as_evicted() {
    let hub = Hub::builder().retention(Retention::latest().age(MINUTE)).build();
    publish_all(&hub, ["a1", "a2", "b3", "a4"]);
    assert_eq!((hub.stats().events, hub.stats().evicted), (2, 0));
    advance(MINUTE + Duration::from_millis(1)).await;
    publish(&hub, "a", "a5");
    assert_eq!(
        (hub.stats().events, hub.stats().evicted),
        (1, 1),
        "nothing replaces the value of b"
    );

    let without_room = Hub::builder().retention(Retention::latest()).max_memory(0).build();
    publish_all(&without_room, ["a1", "a2"]);
    assert_eq!(without_room.stats().evicted, 2);
}

#[tokio::test(start_paused = true)]
async fn lag_is_the_age_of_the_newest_event_when_it_was_received() {
    let (broker, [prompt, late]) = connected();
    let lags = || [prompt.stats().lag, late.stats().lag];
    assert_eq!(lags(), [Some(Duration::ZERO); 2]);
    broker.pause(&late);
    publish(&prompt, "a", "a1");
    advance(MINUTE).await;
    publish(&prompt, "a", "a2");
    advance(Duration::from_micros(1_234_567)).await;
    broker.resume(&late);
    assert_eq!(lags(), [Some(Duration::ZERO), Some(Duration::from_micros(1_234_567))]);
    publish(&prompt, "a", "a3");
    assert_eq!(lags(), [Some(Duration::ZERO); 2]);
    // The history does not count for the lag, or a hub that starts in a quiet hour would seem to be
    // behind.
    advance(MINUTE).await;
    let new = connect(&broker).stats();
    assert_eq!((new.events, new.lag), (3, Some(Duration::ZERO)));
}

#[test]
fn stats_have_metrics_for_prometheus() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "a2", "a3"]);
    let stats = hub.stats();
    let text = stats.prometheus().to_string();
    for (name, kind, figure) in [
        ("memory_bytes", "gauge", stats.memory as u64),
        ("topics", "gauge", 1),
        ("events", "gauge", 2),
        ("subscribers", "gauge", 0),
        ("evicted_total", "counter", 1),
    ] {
        let lines = format!("# TYPE sse_hub_{name} {kind}\nsse_hub_{name} {figure}\n");
        assert!(text.contains(&lines), "{lines} is not in {text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("# HELP sse_hub_")).count(), 6);
}
