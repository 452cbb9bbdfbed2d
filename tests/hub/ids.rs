//! Where a subscription resumes for each kind of last event id, and the gaps that it reports.

use crate::*;

/// Each event's number is in its data. Of `a` the first is lost.
pub(crate) fn hub() -> Hub {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "b5"]);
    hub
}

/// Ids that no hub gave out, or that this one has still to give.
pub(crate) fn malformed(hub: &Hub) -> Vec<LastEventId> {
    let texts = ["?", "17", "a-b", "-", "Größe"].map(last_id);
    let ours = id(hub, 3);
    let ours = ours.as_str();
    let spoilt = [ours.replace('-', "-0"), ours.replace('-', "-+"), format!("{ours}-3")];
    let spoilt = spoilt.map(|id| last_id(&id));
    texts.into_iter().chain(spoilt).chain([id(hub, 6), id(hub, u64::MAX)]).collect()
}

#[test]
fn first_visit_starts_with_events_published_after_the_call() {
    for last in [None, Some(last_id(""))] {
        let hub = hub();
        let mut client = Client::new(hub.subscribe(["a", "b"]).resume(last));
        publish(&hub, "a", "a6");
        assert_eq!(client.read(), ["a6@6"]);
    }
}

#[test]
fn first_visit_starts_with_the_recent_events_of_all_topics() {
    let hub = hub();
    publish(&hub, "c", "c6");
    for (recent, expected) in [
        (0, &[][..]),
        (1, &["b5@5"]),
        (2, &["a4@4", "b5@5"]),
        (3, &["a3@3", "a4@4", "b5@5"]),
        (4, &["b2@2", "a3@3", "a4@4", "b5@5"]),
        (usize::MAX, &["b2@2", "a3@3", "a4@4", "b5@5"]),
    ] {
        let mut client = Client::new(hub.subscribe(["a", "b"]).recent(recent).resume(None));
        assert_eq!(client.read(), expected, "{recent}");
    }
    let mut nothing_yet = Client::new(hub.subscribe(["d"]).recent(5).resume(None));
    assert!(nothing_yet.read().is_empty());
    publish(&hub, "d", "d7");
    assert_eq!(nothing_yet.read(), ["d7@7"]);
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
fn foreign_id_gets_a_gap_in_each_topic_and_all_kept_events() {
    let all = ["gap b@0", "gap a@1", "b2@2", "a3@3", "a4@4", "b5@5"];
    assert_eq!(read(&hub(), &["a", "b"], foreign()), all);
    let all = ["gap b@0", "b2@2", "gap a@3", "a4@4", "b5@5", "a6@6"];
    assert_eq!(read(&hub_with_eviction_between(), &["a", "b"], foreign()), all);
    assert_eq!(read(&Hub::new(), &["a"], foreign()), ["gap a@0"]);
}

#[test]
fn malformed_id_gets_a_gap_in_each_topic_and_a_first_visit() {
    let hub = hub();
    for garbage in malformed(&hub) {
        let mut client = Client::new(hub.subscribe(["a", "b"]).resume(garbage.clone()));
        assert_eq!(client.read(), ["gap a@0", "gap b@5"], "{garbage}");
        let mut client = Client::new(hub.subscribe(["a", "b"]).recent(4).resume(garbage.clone()));
        let recent = ["gap a@0", "gap b@1", "b2@2", "a3@3", "a4@4", "b5@5"];
        assert_eq!(client.read(), recent, "{garbage}");
    }
}

fn epoch_of(id: &LastEventId) -> &str {
    id.as_str().split_once('-').unwrap().0
}

/// Wherever the connection breaks. To the standard, which the client here follows, an event without
/// an id as the first of a connection would have made it forget the one it had.
#[test]
fn resuming_after_any_item_repeats_no_gap_and_skips_no_event() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "b2", "c3", "b4", "a5", "b6", "a7", "c8", "b9", "a10", "c11", "a12"]);
    let topics = ["a", "b", "c", "d"];
    let garbage = id(&hub, 100);
    let mut everything = Vec::new();
    for last in (0..12).map(|seen| id(&hub, seen)).chain([foreign(), garbage]) {
        let mut client = Client::new(hub.subscribe(topics).resume(last.clone()));
        let messages = client.messages();
        everything = messages.iter().map(describe).collect();
        let ids = messages.iter().map(|message| &*message.last_event_id);
        for (seen, last) in iter::once(last.as_str()).chain(ids).enumerate() {
            // Only the last of several gaps at the same position has its id.
            let is_ours = last.starts_with(epoch_of(&id(&hub, 0)));
            let rest = &everything[if is_ours { seen } else { 0 }..];
            let after = read(&hub, &topics, last_id(last));
            assert_eq!(after, rest, "after {seen} of {everything:?}");
        }
    }
    assert_eq!(everything, ["gap a@0", "gap b@0", "gap c@0", "gap d@12"], "garbage was the last");
}

#[test]
fn gap_is_reported_at_the_position_of_the_newest_evicted_event() {
    let hub = Hub::builder().retention(Retention::new().events(3)).build();
    let mut client = subscribed(&hub, &["a", "b"]);
    publish_all(&hub, ["a1", "b2", "a3", "a4", "b5", "a6", "b7", "a8"]);
    assert_eq!(client.read(), ["b2@2", "gap a@3", "a4@4", "b5@5", "a6@6", "b7@7", "a8@8"]);

    publish_all(&hub, ["b9", "b10", "a11", "b12", "b13", "b14"]);
    assert_eq!(client.read(), ["gap b@10", "a11@11", "b12@12", "b13@13", "b14@14"]);
}

#[test]
fn gap_policy_reports_or_ends_or_ignores() {
    let hub = hub();
    let begin = |gap_policy, last: LastEventId| {
        Client::new(hub.subscribe(["b", "a"]).gap_policy(gap_policy).resume(last))
    };
    let kept = ["b2@2", "a3@3", "a4@4", "b5@5"];
    for last in [id(&hub, 0), foreign()] {
        begin(GapPolicy::Ignore, last).assert_waits_after(&kept);
    }
    let mut ends = begin(GapPolicy::ReportAndEnd, id(&hub, 0));
    ends.assert_ends_with(&["gap a@1"]);
    let last = ends.last_event_id().unwrap();
    begin(GapPolicy::ReportAndEnd, last).assert_waits_after(&kept);
}

/// Otherwise the client would reconnect with an id that skips the remaining gaps, or with none at
/// all, and receive the first gap forever.
#[test]
fn stream_that_ends_with_a_gap_reports_all_gaps_at_its_position() {
    let hub = hub();
    let subscribe = || hub.subscribe(["a", "b"]).gap_policy(GapPolicy::ReportAndEnd);
    let mut client = Client::new(subscribe().resume(id(&hub, 100)));
    client.assert_ends_with(&["gap a@0", "gap b@5"]);
    Client::new(subscribe().resume(client.last_event_id())).assert_waits_after(&[""; 0]);
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

#[test]
fn rejected_event_takes_no_sequence_number() {
    let hub = Hub::new();
    let refused = |event| hub.publish_now("a", event).unwrap_err();
    assert!(matches!(refused(Event::new().event("name").comment("no data")), PublishError::NoData));
    assert!(matches!(refused(Event::from("data").id(7)), PublishError::HasId));
    assert_eq!(publish(&hub, "a", ""), 1);
    hub.close();
    assert!(matches!(refused(Event::from("data")), PublishError::Closed));
    assert_eq!(sequence(hub.position().as_str()), 1);
}

/// More topics went than are remembered one by one, so what those have lost that are new here is at
/// one place.
#[test]
fn interrupted_gaps_are_repeated_without_the_events_before_them() {
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
    let (one_before, event) = (forgotten - 1, before + 1);
    let expected = [
        "gap a@0".to_owned(),
        format!("gap new@{one_before}"),
        format!("gap newer@{forgotten}"),
        format!("a@{event}"),
    ];
    assert_eq!(everything, expected);
    for (seen, message) in messages.iter().enumerate() {
        let last = last_id(&message.last_event_id);
        let again = if seen == 1 { 1 } else { seen + 1 };
        assert_eq!(read(hub, &topics, last), everything[again..], "after {}", describe(message));
    }
}

// What a subscription sends first: greetings, the gaps of a malformed id and recent events.

#[test]
fn greeted_client_that_leaves_before_the_first_event_misses_none() {
    let hub = hub();
    let greeting = || Event::new().event("connected").data("hello").id("of no use");
    let subscribe = || hub.subscribe(["a", "b"]).greeting(greeting());
    let mut client = Client::new(subscribe().resume(None));
    assert_eq!(client.read(), ["hello@5"]);
    publish_all(&hub, ["b6", "a7"]);
    let mut again = Client::new(subscribe().resume(client.last_event_id()));
    assert_eq!(again.read(), ["b6@6", "a7@7"], "it is greeted once");
    let mut with_recent = Client::new(subscribe().recent(2).resume(None));
    assert_eq!(with_recent.read_one(), ["hello@5"]);
    assert_eq!(with_recent.read(), ["b6@6", "a7@7"]);
    let items = Client::new(subscribe().resume(foreign())).read();
    assert!(items.iter().all(|item| !item.starts_with("hello")), "{items:?}");
}

#[test]
fn malformed_id_is_greeted_after_the_gaps() {
    let hub = hub();
    let greeting = || Event::new().event("connected").data("hello");
    let subscribe = || hub.subscribe(["a", "b"]).greeting(greeting());
    for garbage in malformed(&hub) {
        let begin = |subscribe: Subscribe| Client::new(subscribe.resume(garbage.clone()));
        assert_eq!(begin(subscribe()).read(), ["gap a@0", "gap b@0", "hello@5"], "{garbage}");
        let recent = ["gap a@0", "gap b@0", "hello@3", "a4@4", "b5@5"];
        assert_eq!(begin(subscribe().recent(2)).read(), recent, "{garbage}");
        let mut quiet = begin(subscribe().gap_policy(GapPolicy::Ignore));
        assert_eq!(quiet.read(), ["hello@5"], "{garbage}");
        let mut ends = begin(subscribe().gap_policy(GapPolicy::ReportAndEnd));
        let _case = case(&garbage);
        ends.assert_ends_with(&["gap a@0", "gap b@5"]);
    }
}

/// The oldest of `a` are lost, and older events of `b` are kept.
pub(crate) fn hub_with_eviction_between() -> Hub {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "b5", "a6"]);
    hub
}

/// As `resume` says. A client cannot have two ids, one for each topic.
#[test]
fn leaving_mid_recent_events_can_cause_a_spurious_gap() {
    let hub = hub_with_eviction_between();
    let mut first = Client::new(hub.subscribe(["a", "b"]).recent(4).resume(None));
    assert_eq!(first.read_one(), ["b2@2"]);
    let rest = ["gap a@3", "a4@4", "b5@5", "a6@6"];
    assert_eq!(read(&hub, &["a", "b"], first.last_event_id().unwrap()), rest);
    assert_eq!(first.read(), rest[1..]);
}

/// As `resume` says. All gaps come before the events, and the id of the last is below the evicted
/// events of `a`.
#[test]
fn leaving_before_recent_events_can_repeat_a_gap_of_a_malformed_id() {
    let hub = hub_with_eviction_between();
    let last = last_id("?");
    let mut first = Client::new(hub.subscribe(["a", "b"]).recent(4).resume(last));
    assert_eq!(first.read_one(), ["gap a@0", "gap b@1"]);
    let again = ["b2@2", "gap a@3", "a4@4", "b5@5", "a6@6"];
    assert_eq!(read(&hub, &["a", "b"], first.last_event_id().unwrap()), again);
    assert_eq!(first.read(), ["b2@2", "a4@4", "b5@5", "a6@6"]);
}

/// The hub creates the second topic while the subscription starts, and calls back.
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
