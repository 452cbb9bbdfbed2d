//! Gaps: those that a program reports, what their events look like, and their reasons. Random gaps
//! are in the [model](crate::model).

use crate::*;

fn gap(hub: &Hub, topic: &str) -> u64 {
    sequence(hub.gap(topic).now_or_never().unwrap().unwrap().id().as_str())
}

#[test]
fn reported_gap_has_its_place_among_the_events_of_every_process() {
    let (_broker, pair) = connected::<2>();
    for hubs in [&[Hub::new()][..], &pair] {
        let topics = ["a", "b"];
        let (count, waker) = Wakes::new();
        let mut clients: Vec<_> = hubs.iter().map(|hub| subscribed(hub, &topics)).collect();
        publish_all(&hubs[0], ["a1", "b2"]);
        assert_eq!(gap(&hubs[0], "a"), 3);
        publish_all(&hubs[0], ["b4", "a5"]);
        let all = ["a1@1", "b2@2", "gap a@3", "b4@4", "a5@5", "gap a@6"];
        for client in &mut clients {
            assert_eq!(client.read_with(&waker), all[..5]);
        }
        assert_eq!(gap(&hubs[0], "a"), 6);
        assert_eq!(count.get(), hubs.len());
        for (hub, client) in hubs.iter().zip(&mut clients) {
            assert_eq!(client.read(), all[5..]);
            assert_eq!(hub.stats().gaps, 2);
            // Checks what a returning client gets, for each id that it can have.
            for seen in 0..=all.len() {
                assert_eq!(resumed(hub, &topics, seen as u64).read(), all[seen..], "after {seen}");
            }
            assert_eq!(read(hub, &["b"], id(hub, 0)), ["b2@2", "b4@4"]);
            // A client on its first visit has missed nothing.
            let recent = hub.subscribe(topics).recent(usize::MAX).resume(None);
            assert_eq!(Client::new(recent).read(), ["a1@1", "b2@2", "b4@4", "a5@5"]);
        }
    }
}

#[test]
fn reported_gap_follows_the_policy() {
    let hub = Hub::new();
    let ends = hub.subscribe_to("a").gap_policy(GapPolicy::ReportAndEnd).resume(None);
    let mut ends = Client::new(ends);
    publish_all(&hub, ["a1"]);
    gap(&hub, "a");
    publish_all(&hub, ["a3"]);
    ends.assert_ends_with(&["a1@1", "gap a@2"]);
    // The greeting has the state as it was queried after the gap.
    let position = hub.position();
    let since = |seen| {
        let greeting = Event::new().data("state");
        let subscribe = hub.subscribe_to("a").since(position.clone()).greeting(greeting);
        Client::new(subscribe.resume(id(&hub, seen))).read()
    };
    assert_eq!(since(1), ["gap a@1", "state@3"]);
    assert_eq!(since(2), ["a3@3"]);
}

#[test]
fn reported_gap_of_a_newest_value_lasts_until_the_next_value() {
    let hub = Hub::builder().retention(Retention::latest()).build();
    let mut client = subscribed(&hub, &["a"]);
    publish_all(&hub, ["a1"]);
    assert_eq!(client.read(), ["a1@1"]);
    gap(&hub, "a");
    assert_eq!(client.read(), ["gap a@2"]);
    assert_eq!(read(&hub, &["a"], id(&hub, 1)), ["gap a@2"]);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["a1@1", "gap a@2"], "the value is kept");
    assert_eq!(subscribed(&hub, &["a"]).read(), ["a1@1"]);
    assert_eq!(read(&hub, &["a"], foreign()), ["a1@1", "gap a@2"], "an id of an earlier process");
    publish_all(&hub, ["a3"]);
    assert_eq!(read(&hub, &["a"], id(&hub, 1)), ["a3@3"]);
    assert_eq!(read(&hub, &["a"], foreign()), ["a3@3"]);
    assert_eq!(client.read(), ["a3@3"]);
}

#[test]
fn reported_gaps_of_all_newest_values_come_after_a_foreign_id() {
    let retention = |topic: &str| topic.starts_with('p').then(Retention::latest);
    let hub = Hub::builder().retention_of(retention).build();
    for topic in ["p1", "p2"] {
        publish(&hub, topic, topic);
        gap(&hub, topic);
    }
    let all = ["p1@1", "gap p1@2", "p2@3", "gap p2@4"];
    assert_eq!(read(&hub, &["p1", "p2"], foreign()), all);
    let first = ["gap a@0", "p1@1", "gap p1@2"];
    assert_eq!(read(&hub, &["p1", "a"], foreign()), first, "beside another topic");
}

#[test]
fn reported_gap_is_remembered_without_the_event_before_it() {
    let hub = Hub::builder().retention(Retention::new().events(1)).build();
    assert_eq!(gap(&hub, "b"), 1);
    assert!(hub.topics().is_empty());
    assert_eq!(read(&hub, &["b"], id(&hub, 0)), ["gap b@1"]);
    assert!(read(&hub, &["b"], id(&hub, 1)).is_empty());
    assert!(subscribed(&hub, &["b"]).read().is_empty());
    publish_all(&hub, ["a2"]);
    gap(&hub, "a");
    publish_all(&hub, ["a4"]);
    for seen in [0, 2] {
        assert_eq!(read(&hub, &["a"], id(&hub, seen)), ["gap a@3", "a4@4"], "after {seen}");
    }
}

#[test]
fn reported_gap_fails_as_an_event_does() {
    let hub = Hub::new();
    end(&hub, "a", "a1");
    let fails = |topic| hub.gap(topic).now_or_never().unwrap().unwrap_err();
    assert!(matches!(fails("a"), PublishError::Ended));
    hub.close();
    assert!(matches!(fails("b"), PublishError::Closed));
    let hub = connect_by_hand(Hub::builder(), |feed| feed);
    let refused = hub.gap("a").now_or_never().unwrap();
    assert!(matches!(refused, Err(PublishError::Refused(_))));
}

/// The data is valid JSON for every topic name, for clients that parse each event as JSON.
#[test]
fn gap_is_an_object_with_its_topic() {
    for (topic, escaped) in [
        ("news", "news"),
        ("räume/7", "räume/7"),
        (r#"a"b\c"#, r"a\u0022b\u005cc"),
        ("a\nb\0\u{85}\u{2028}\u{2029}", r"a\u000ab\u0000\u0085\u2028\u2029"),
        ("a\rb%0D\r\n c", r"a\u000db%0D\u000d\u000a c"),
    ] {
        let hub = Hub::new();
        let mut wire = hub.subscribe_to(topic).resume(foreign());
        let wire = Bytes::from(wire.next().now_or_never().unwrap().unwrap());
        let data = format!("{{\"topic\":\"{escaped}\",\"reason\":\"other_hub\"}}");
        let expected = format!("event: gap\ndata: {data}\nid: {}\n\n", hub.position());
        assert_eq!(str::from_utf8(&wire).unwrap(), expected);
        let parsed: serde_json::Value = serde_json::from_str(&data).unwrap();
        assert_eq!(parsed["topic"], topic);
        let mut messages = hub.subscribe_to(topic).resume(foreign()).messages();
        let gap = messages.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert_eq!((gap.topic(), sequence(gap.last_event_id())), (topic, 0));
    }
}

#[test]
fn gap_says_why_to_the_client_the_program_and_the_operator() {
    let (broker, [lossy]) = connected();
    publish_all(&lossy, ["a1"]);
    broker.lose_history();
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let mut slow = hub.subscribe_to("a").resume(None);
    publish_all(&hub, ["a1", "a2", "a3"]);
    publish_all(&hub, ["b4"]);
    gap(&hub, "b");
    for (hub, topic, last, reason) in [
        (&hub, "a", id(&hub, 0), GapReason::Evicted),
        (&lossy, "a", id(&lossy, 1), GapReason::Lost),
        (&hub, "b", id(&hub, 4), GapReason::Reported),
        (&hub, "a", foreign(), GapReason::OtherHub),
        (&hub, "a", last_id("?"), GapReason::UnknownId),
        (&hub, "a", id(&hub, 9), GapReason::UnknownId),
    ] {
        let counted = || hub.stats().gaps_by_reason.iter().find(|it| it.0 == reason).unwrap().1;
        let before = counted();
        let mut messages = hub.subscribe_to(topic).resume(last.clone()).messages();
        let gap = messages.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert_eq!((gap.topic(), gap.reason()), (topic, reason));
        let data = format!("data: {{\"topic\":\"{topic}\",\"reason\":\"{reason}\"}}\n");
        let mut wire = hub.subscribe_to(topic).resume(last).map(Bytes::from);
        let wire = wire.next().now_or_never().unwrap().unwrap();
        assert!(str::from_utf8(&wire).unwrap().contains(&data), "{wire:?}");
        assert!(Encoded::from(Event::from(gap)).as_bytes().starts_with(&wire[..data.len()]));
        assert_eq!(counted(), before + 2);
        let metrics = hub.stats().prometheus().to_string();
        let sample = format!("sse_hub_gaps_total{{reason=\"{reason}\"}} {}\n", before + 2);
        assert!(metrics.contains(&sample), "{metrics}");
    }
    let wire = Bytes::from(slow.next().now_or_never().unwrap().unwrap());
    assert!(str::from_utf8(&wire).unwrap().contains("evicted"));
}

#[tokio::test(start_paused = true)]
async fn gap_behind_the_first_value_after_a_foreign_id_says_evicted() {
    let hub = Hub::builder().retention(Retention::latest().age(SECOND)).build();
    publish_all(&hub, ["a1"]);
    let mut messages = hub.subscribe_to("a").resume(foreign()).messages();
    let mut next = || messages.next().now_or_never().unwrap().unwrap();
    assert_eq!(next().unwrap().data, "a1");
    publish_all(&hub, ["a2"]);
    advance(2 * SECOND).await;
    publish_all(&hub, ["b3"]);
    assert_eq!(next().unwrap_err().reason(), GapReason::Evicted);
}

/// In its first poll, the client looks for the next event of each topic. Then unread events of `b`
/// and `c` are evicted.
#[test]
fn gap_that_became_due_meanwhile_comes_with_the_first() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let mut client = subscribed(&hub, &["a", "b", "c", "d", "e"]);
    publish_all(&hub, ["a1", "b2", "b3", "c4"]);
    assert_eq!(client.read_one(), ["a1@1"]);
    publish_all(&hub, ["b5", "c6", "c7"]);
    assert_eq!(client.read_one(), ["gap b@1", "gap c@2"]);
    assert_eq!(client.read(), ["b3@3", "b5@5", "c6@6", "c7@7"]);
}

/// If a program let its users choose event names, a forged gap would make all pages reload.
#[test]
fn event_that_is_named_gap_is_invalid_to_publish() {
    let (_broker, [fed]) = connected();
    for hub in [&Hub::new(), &fed] {
        let mut client = subscribed(hub, &["a"]);
        let event = || Event::new().try_event("gap".to_owned()).unwrap().data("x");
        let published = hub.publish("a", event()).now_or_never().unwrap();
        let ended = hub.end("a", event()).now_or_never().unwrap();
        for result in [published, hub.publish_now("a", event()), ended] {
            assert!(matches!(result, Err(PublishError::Invalid(_))), "{result:?}");
        }
        for name in ["start", "interrupted", "Gap", "gap ", "error"] {
            let event = Event::new().try_event(name.to_owned()).unwrap().data("x");
            hub.publish("a", event).now_or_never().unwrap().unwrap();
            assert_eq!(&*client.messages()[0].event, name);
        }
        gap(hub, "a");
        assert_eq!(client.read(), ["gap a@6"]);
    }
}

/// Returns what a long poll gets whose server holds all frames until the end.
async fn long_poll<S>(visit: Response<EventBody<S>>) -> String
where
    S: Stream<Item = Encoded> + Send + 'static,
{
    let poll = tower_sse::StreamOptions::new().long_poll(SECOND);
    let layer = SseLayer::new().without_retry().options(poll);
    let body = answer_to(Requester::EventSource.request("/"), &layer, visit).into_body();
    let read = tokio::spawn(body.collect()).await.unwrap().unwrap().to_bytes();
    str::from_utf8(&read).unwrap().to_owned()
}

/// A client that got only some of the gaps would get all of them again, because only the last gap
/// has the hub's position.
#[tokio::test(start_paused = true)]
async fn long_poll_begins_with_the_gaps_of_all_topics() {
    for retention in [Retention::new(), Retention::latest()] {
        let hub = Hub::builder().retention(retention).build();
        let topics: Vec<_> = (0..1000).map(|topic| format!("t{topic}")).collect();
        let read = long_poll(hub.subscribe(&topics).resume(foreign()).response()).await;
        assert_eq!(read.matches("event: gap\n").count(), topics.len());
        assert!(read.ends_with(&format!("id: {}\n\n", hub.position())), "{read}");
    }
}

/// The greeting needs a frame of its own. The gaps before it have the client's own id.
#[tokio::test(start_paused = true)]
async fn long_poll_of_newest_values_gets_the_greeting_after_the_gaps() {
    let hub = Hub::builder().retention(Retention::latest()).build();
    publish_all(&hub, ["a1", "b2"]);
    let greeting = "x".repeat(5000);
    let visit = || {
        let visit = hub.subscribe(["a", "b"]).since(hub.position()).greeting(&*greeting);
        visit.start_event(false).resume(foreign())
    };
    let view = visit().view(|item| Some(item.map_or_else(Event::from, Event::from)));
    for read in [long_poll(visit().response()).await, long_poll(view.response()).await] {
        assert_eq!(read.matches("event: gap\n").count(), 2);
        assert!(read.contains(&greeting), "{read}");
    }
}
