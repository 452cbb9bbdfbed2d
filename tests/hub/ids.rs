//! Where a subscription resumes for each kind of last event id, and the gaps that it reports.

use crate::*;

/// Returns a hub whose events have their sequence number in their data. The first event of `a` is
/// evicted.
fn hub() -> Hub {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "b5"]);
    hub
}

#[test]
fn own_id_resumes_strictly_after_it_in_all_topics() {
    let hub = hub();
    for (seen, expected) in [
        (0, &["gap a@1", "b2@2", "a3@3", "a4@4", "b5@5"][..]),
        (1, &["b2@2", "a3@3", "a4@4", "b5@5"]),
        (2, &["a3@3", "a4@4", "b5@5"]),
        (4, &["b5@5"]),
        (5, &[]),
    ] {
        assert_eq!(read(&hub, &["a", "b"], id(&hub, seen)), expected, "after {seen}");
        let mut client = Client::new(hub.subscribe(["a", "b"]).recent(1).resume(id(&hub, seen)));
        assert_eq!(client.read(), expected, "`recent` is for first visits");
    }
}

#[test]
fn gap_policy_reports_or_ends() {
    let hub = hub();
    let begin = |gap_policy, last: LastEventId| {
        Client::new(hub.subscribe(["b", "a"]).gap_policy(gap_policy).resume(last))
    };
    let kept = ["b2@2", "a3@3", "a4@4", "b5@5"];
    let mut ends = begin(GapPolicy::ReportAndEnd, id(&hub, 0));
    ends.assert_ends_with(&["gap a@1"]);
    begin(GapPolicy::ReportAndEnd, ends.last.unwrap()).assert_waits_after(&kept);
}

/// If the stream ended after the first gap, the client would miss the other gaps if this one had a
/// new id. If it had none, the client would receive it again at each reconnection.
#[test]
fn stream_that_ends_with_a_gap_reports_all_gaps_at_its_position() {
    let hub = hub();
    for greeting in [None, Some("hello")] {
        let begin = |gap_policy, last| {
            let subscribe = hub.subscribe(["a", "b"]).gap_policy(gap_policy);
            Client::new(match greeting {
                Some(greeting) => subscribe.greeting(greeting).resume(last),
                None => subscribe.resume(last),
            })
        };
        let mut ends = begin(GapPolicy::ReportAndEnd, id(&hub, 100));
        ends.assert_ends_with(&["gap a@0", "gap b@5"]);
        begin(GapPolicy::ReportAndEnd, ends.last.unwrap()).assert_waits_after(&[""; 0]);
    }
}

#[test]
fn duplicate_topic_counts_once_and_no_topics_end_at_once() {
    let hub = Hub::new();
    let mut twice = subscribed(&hub, &["a", "b", "a"]);
    assert_eq!(hub.subscriber_count("a"), 1);
    publish(&hub, "a", "a1");
    assert_eq!(twice.read(), ["a1@1"]);

    Client::new(hub.subscribe([""; 0]).resume(foreign())).assert_ends_with(&[""; 0]);
}

/// The hub has removed more topics than it remembers. So each new topic may have lost events, up to
/// a sequence number that is the same for all topics.
#[test]
fn interrupted_gaps_are_all_repeated() {
    let hub = Hub::builder().max_memory(4096).build();
    let _here = hub.subscribe(["a"]).resume(None);
    for n in 0..=1 << 16 {
        publish(&hub, &format!("gone {n}"), "x");
    }
    for n in 0..50 {
        publish(&hub, &format!("gone too {n}"), "x");
    }
    let hub = &hub;
    let topics = ["a", "new", "newer"];
    let before = sequence(hub.position().as_str());
    publish_all(hub, ["a"]);
    let mut client = Client::new(hub.subscribe(topics).resume(foreign()));
    let messages = client.messages();
    let everything: Vec<_> = messages.iter().map(describe).collect();
    let forgotten = sequence(&messages[2].last_event_id);
    assert!((1..before).contains(&forgotten));
    let event = before + 1;
    let expected = [
        "gap a@0".to_owned(),
        "gap new@0".to_owned(),
        format!("gap newer@{forgotten}"),
        format!("a@{event}"),
    ];
    assert_eq!(everything, expected);
    for (seen, message) in messages.iter().enumerate() {
        let last = last_id(&message.last_event_id);
        let again = if seen < 2 { 0 } else { seen + 1 };
        assert_eq!(read(hub, &topics, last), everything[again..], "after {}", describe(message));
    }
}

/// When a subscription starts, the hub calls the closure of `retention_of` for each topic that
/// doesn't exist yet.
#[test]
fn counted_subscription_receives_all_later_events() {
    for topics in [&["a", "b"][..], &["a", "c", "b"]] {
        let own = Arc::new(OnceLock::<Hub>::new());
        let given = Arc::clone(&own);
        let hub = Hub::builder()
            .retention_of(move |topic| {
                let hub = given.get()?;
                if topic == "b" {
                    let receipt = hub.publish_now("a", Event::from("a1")).unwrap();
                    assert_eq!(receipt.subscribers, 1);
                }
                None
            })
            .build();
        own.set(hub.clone()).unwrap();
        let mut client = Client::new(hub.subscribe(topics).resume(None));
        assert_eq!(client.read(), ["a1@1"]);
    }
}
