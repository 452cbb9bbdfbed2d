//! Topics that end: who receives the last event, what ends, and when the name is free.

use crate::*;

fn is_ended<T>(result: &Result<T, PublishError>) -> bool {
    matches!(result, Err(PublishError::Ended))
}

#[test]
fn stream_of_several_topics_ends_when_all_have_ended() {
    let hub = Hub::new();
    let mut client = subscribed(&hub, &["a", "b", "c"]);
    end(&hub, "b", "b1");
    end(&hub, "a", "a2");
    client.assert_waits_after(&["b1@1", "a2@2"]);
    publish_all(&hub, ["c3"]);
    end(&hub, "c", "c4");
    client.assert_ends_with(&["c3@3", "c4@4"]);
    assert_eq!(hub.subscriber_count("a"), 0);
}

#[test]
fn late_client_receives_what_is_kept_and_the_end() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "a2"]);
    end(&hub, "a", "a3");
    let of = || hub.subscribe(["a"]);
    let ignoring = || of().gap_policy(GapPolicy::Ignore);
    for (name, subscription, expected) in [
        // There is nothing to wait for.
        ("first visit", of().resume(None), &[][..]),
        ("recent events", of().recent(1).resume(None), &["a3@3"]),
        ("greeting", of().greeting("hello").resume(None), &["hello@3"]),
        ("evicted", of().resume(id(&hub, 0)), &["gap a@1", "a2@2", "a3@3"]),
        ("missed the end", of().resume(id(&hub, 2)), &["a3@3"]),
        ("missed nothing", of().resume(id(&hub, 3)), &[]),
        ("foreign id", of().resume(foreign()), &["gap a@1", "a2@2", "a3@3"]),
        ("malformed id", of().resume(last_id("nonsense")), &["gap a@3"]),
        ("malformed id, ignoring gaps", ignoring().resume(last_id("nonsense")), &[]),
    ] {
        let _case = case(name);
        Client::new(subscription).assert_ends_with(expected);
    }
}

#[tokio::test(start_paused = true)]
async fn publishing_fails_until_the_last_event_is_too_old() {
    let hub = Hub::builder().retention(Retention::new().age(10 * SECOND)).build();
    end(&hub, "a", "a1");
    let again = || hub.publish_now("a", Event::from("a2"));
    assert!(is_ended(&again()));
    assert!(is_ended(&hub.end("a", Event::from("a2")).await));
    assert!(is_ended(&hub.publish("a", Event::from("a2")).await));
    assert_eq!(hub.position(), tower_sse::EventId::try_from(id(&hub, 1).as_str()).unwrap());
    advance(10 * SECOND - Duration::from_millis(1)).await;
    assert!(is_ended(&again()));
    advance(Duration::from_millis(1)).await;
    resumed(&hub, &["a"], 0).assert_ends_with(&["a1@1"]);
    assert!(again().is_ok());
    // The name is a new topic.
    resumed(&hub, &["a"], 1).assert_waits_after(&["a2@2"]);
}

/// Its process knows the end of the topic, but not yet the event.
#[tokio::test(start_paused = true)]
async fn event_that_begins_an_ended_topic_anew_is_published() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retention(Retention::new().age(10 * SECOND)), &broker);
    hub.end("a", Event::from("a1")).await.unwrap();
    let mut client = resumed(&hub, &["a", "b"], 1);
    broker.pause(&hub);
    advance(10 * SECOND).await;
    let receipt = hub.publish("a", Event::from("a2")).await.unwrap();
    assert_eq!(receipt.id().as_str(), id(&hub, 2).as_str());
    broker.resume(&hub);
    assert_eq!(client.read(), ["a2@2"]);
}

/// The memory limit must not free the name in one process before the others.
#[tokio::test(start_paused = true)]
async fn name_stays_taken_after_the_last_event_is_evicted() {
    let hub = Hub::builder().max_memory(2_000).retention(Retention::new().age(10 * SECOND)).build();
    end(&hub, "a", "a1");
    for n in 0..5 {
        publish(&hub, &format!("other {n}"), "x");
    }
    assert!(!hub.topics().iter().any(|topic| **topic == *"a"));
    assert!(is_ended(&hub.publish_now("a", Event::from("a2"))));
    resumed(&hub, &["a"], 0).assert_ends_with(&["gap a@1"]);
    assert!(is_ended(&hub.publish_now("a", Event::from("a2"))));
    advance(10 * SECOND).await;
    assert!(hub.publish_now("a", Event::from("a2")).is_ok());
}

/// Returns a hub whose topic `a` has ended, when its name is free. The topic was removed with its last
/// event, or the next stream evicts that event.
async fn hub_with_a_freed_name(is_removed: bool) -> Hub {
    let hub = Hub::builder().retention(Retention::new().age(10 * SECOND)).build();
    end(&hub, "a", "a1");
    advance(11 * SECOND).await;
    if is_removed {
        publish_all(&hub, ["b2"]);
        assert!(!hub.topics().iter().any(|topic| **topic == *"a"));
    }
    hub
}

/// Returns the status for an `EventSource` that brings this id, and its stream.
fn visit(hub: &Hub, last: Option<LastEventId>) -> (u16, Client) {
    let subscribe = || hub.subscribe(["a"]).resume(last.clone());
    let request = Requester::EventSource.request("/");
    let answer = answer_to(request, &SseLayer::new(), subscribe().response());
    (answer.status().as_u16(), Client::new(subscribe()))
}

#[tokio::test(start_paused = true)]
async fn visitor_of_a_freed_topic_name_waits_for_the_next_topic() {
    for is_removed in [false, true] {
        let _case = case(format!("removed: {is_removed}"));
        let hub = hub_with_a_freed_name(is_removed).await;
        let (status, mut client) = visit(&hub, None);
        assert_eq!(status, 200);
        client.assert_waits_after(&[""; 0]);
        let next = publish(&hub, "a", "next");
        end(&hub, "a", "last");
        client.assert_ends_with(&[format!("next@{next}"), format!("last@{}", next + 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_has_received_the_end_is_told_while_it_is_remembered() {
    for is_removed in [false, true] {
        let _case = case(format!("removed: {is_removed}"));
        let hub = hub_with_a_freed_name(is_removed).await;
        let (status, mut client) = visit(&hub, Some(id(&hub, 1)));
        assert_eq!(status, 204);
        client.assert_ends_with(&[""; 0]);
    }
}

/// It has an id from its first visit, or from a process that knows the next topic already.
#[tokio::test(start_paused = true)]
async fn client_that_came_after_the_end_waits_when_it_reconnects() {
    for is_removed in [false, true] {
        let _case = case(format!("removed: {is_removed}"));
        let hub = hub_with_a_freed_name(is_removed).await;
        publish_all(&hub, ["c3"]);
        let seen = LastEventId::from(hub.position());
        let (status, mut client) = visit(&hub, Some(seen.clone()));
        assert_eq!(status, 200);
        client.assert_waits_after(&[""; 0]);
        let since = hub.subscribe(["a"]).since(hub.position()).resume(None);
        Client::new(since).assert_waits_after(&[""; 0]);
        let next = publish(&hub, "a", "next");
        assert_eq!(read(&hub, &["a"], seen), [format!("next@{next}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_has_seen_the_last_of_several_ends_is_told() {
    let hub = Hub::builder().retention(Retention::new().age(10 * SECOND)).build();
    end(&hub, "a", "a1");
    end(&hub, "b", "b2");
    advance(11 * SECOND).await;
    resumed(&hub, &["a", "b"], 2).assert_ends_with(&[""; 0]);
    publish_all(&hub, ["c3"]);
    resumed(&hub, &["a", "b"], 3).assert_waits_after(&[""; 0]);
}

/// It gets no id behind the gap, so it would reconnect again and again.
#[tokio::test]
async fn client_that_ignores_gaps_is_stopped_if_only_a_gap_is_left() {
    let evicting = Hub::builder().max_memory(0).build();
    let broker = MemoryBroker::new();
    let losing = Hub::connect(broker.clone()).await.unwrap();
    for hub in [&evicting, &losing] {
        hub.end("a", Event::from("a1")).await.unwrap();
    }
    broker.lose_history();
    for (hub, seen) in [(&evicting, 0), (&losing, 1)] {
        for (gap_policy, expected) in [(GapPolicy::Report, 200), (GapPolicy::Ignore, 204)] {
            let subscribe = || hub.subscribe(["a"]).gap_policy(gap_policy).resume(id(hub, seen));
            let request = Requester::EventSource.request("/");
            let answer = answer_to(request, &SseLayer::new(), subscribe().response());
            assert_eq!(answer.status(), expected, "{gap_policy:?} after {seen}");
            let mut client = Client::new(subscribe());
            let gap = format!("gap a@{}", seen + 1);
            let gaps = if gap_policy == GapPolicy::Ignore { &[][..] } else { &[gap.as_str()] };
            client.assert_ends_with(gaps);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn visitor_of_a_forgotten_topic_delays_no_end_of_earlier_streams() {
    let hub = Hub::builder().retention(Retention::new().age(10 * SECOND)).build();
    let mut earlier = subscribed(&hub, &["a", "b"]);
    end(&hub, "a", "a1");
    assert_eq!(earlier.read(), ["a1@1"]);
    advance(11 * SECOND).await;
    let mut later = subscribed(&hub, &["a", "b"]);
    end(&hub, "b", "b2");
    earlier.assert_ends_with(&["b2@2"]);
    later.assert_waits_after(&["b2@2"]);
}

#[tokio::test(start_paused = true)]
async fn end_reaches_every_process_and_drops_later_events() {
    let (broker, [one, other]) = connected();
    let mut clients = [&one, &other].map(|hub| subscribed(hub, &["a"]));
    broker.pause(&other);
    one.publish("a", "a1").await.unwrap();
    one.end("a", "a2").await.unwrap();
    // The other process has not heard of the end, but the broker has.
    assert!(is_ended(&other.publish("a", "a3").await));
    assert!(is_ended(&one.publish("a", "a4").await));
    broker.resume(&other);
    for client in &mut clients {
        client.assert_ends_with(&["a1@1", "a2@2"]);
    }
    assert!(is_ended(&other.publish("a", "a5").await));
    let late = connect(&broker);
    assert!(is_ended(&late.publish("a", "a6").await));
    resumed(&late, &["a"], 1).assert_ends_with(&["a2@2"]);
    let five_minutes = 300 * SECOND;
    advance(five_minutes).await;
    other.publish("a", "a7").await.unwrap();
    for hub in [&one, &other, &late] {
        resumed(hub, &["a"], 2).assert_waits_after(&["a7@3"]);
    }
}

/// Loses the end of the topic `a`, which all these processes know. A process that starts afterwards
/// begins the topic anew. Returns it, and the number of its event.
fn begun_anew_after_a_loss(broker: &MemoryBroker, processes: &[Hub]) -> (Hub, u64) {
    let end = sequence(processes[0].position().as_str());
    let (loss, anew) = (end + 1, end + 2);
    let status = |hub: &Hub, last| {
        let subscription = hub.subscribe_to("a").resume(id(hub, last));
        let request = Requester::EventSource.request("/");
        answer_to(request, &SseLayer::new(), subscription.response()).status()
    };
    let of_two = processes.iter().map(|hub| resumed(hub, &["a", "b"], end)).collect::<Vec<_>>();
    broker.lose_history();
    for hub in processes {
        assert!(is_ended(&hub.publish("a", "x").now_or_never().unwrap()));
        resumed(hub, &["a"], end).assert_ends_with(&[format!("gap a@{loss}")]);
        assert_eq!(status(hub, loss), 204, "nobody has begun the topic anew");
    }
    let late = connect(broker);
    assert_eq!(publish(&late, "a", "anew"), anew);
    // Only the last of several gaps has the position of the loss.
    let missed = [format!("gap a@{end}"), format!("gap b@{loss}"), format!("anew@{anew}")];
    for (hub, mut client) in processes.iter().zip(of_two) {
        client.assert_waits_after(&missed);
        resumed(hub, &["a", "b"], end).assert_waits_after(&missed);
        assert_eq!(status(hub, anew), 200);
    }
    processes.iter().for_each(|hub| _ = publish(hub, "a", "next"));
    (late, anew)
}

#[test]
fn event_after_a_loss_of_the_end_begins_the_topic_anew() {
    let (broker, [one, other]) = connected();
    publish_all(&one, ["a1"]);
    one.end("a", "a2").now_or_never().unwrap().unwrap();
    // This process has the end from the history.
    let third = connect(&broker);
    let mut processes = vec![one, other, third];
    for _ in 0..3 {
        let (late, anew) = begun_anew_after_a_loss(&broker, &processes);
        let next = (1..=processes.len()).map(|n| format!("next@{}", anew + n as u64));
        let last = late.end("a", "last").now_or_never().unwrap().unwrap();
        let last = format!("last@{}", sequence(last.id().as_str()));
        processes.push(late);
        let expected: Vec<_> = next.chain([last]).collect();
        for hub in &processes {
            resumed(hub, &["a"], anew).assert_ends_with(&expected);
        }
    }
}

#[test]
fn event_begins_an_evicted_topic_anew_after_a_loss_of_its_end() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().max_memory(0), &broker);
    hub.end("a", "a1").now_or_never().unwrap().unwrap();
    assert_eq!(hub.topics().len(), 0);
    broker.lose_history();
    assert!(is_ended(&hub.publish("a", "x").now_or_never().unwrap()));
    assert_eq!(publish(&connect(&broker), "a", "anew"), 3);
    resumed(&hub, &["a"], 2).assert_waits_after(&["gap a@3"]);
    assert_eq!(publish(&hub, "a", "next"), 4);
}

/// The process that publishes has lost the end before it has read it.
#[test]
fn process_that_never_received_the_end_begins_the_topic_anew() {
    let (broker, [one, other]) = connected();
    broker.pause(&other);
    one.end("a", "a1").now_or_never().unwrap().unwrap();
    broker.lose_history();
    broker.resume(&other);
    assert_eq!(publish(&other, "a", "anew"), 3);
    for hub in [&one, &other] {
        resumed(hub, &["a"], 1).assert_waits_after(&["gap a@2", "anew@3"]);
    }
}

#[test]
fn each_subscriber_receives_each_event_before_the_end_and_none_after_it() {
    for round in 0..100 {
        let (hub, start, accepted) = (Hub::new(), Barrier::new(4), AtomicUsize::new(0));
        let publish_until_the_end = || {
            start.wait();
            while hub.publish_now("a", Event::from("a")).is_ok() {
                accepted.fetch_add(1, Relaxed);
            }
        };
        let messages: Vec<_> = thread::scope(|scope| {
            scope.spawn(publish_until_the_end);
            scope.spawn(publish_until_the_end);
            scope.spawn(|| {
                start.wait();
                // The topic ends at some time while the others publish.
                for _ in 0..round {
                    publish(&hub, "a", "a");
                    accepted.fetch_add(1, Relaxed);
                }
                end(&hub, "a", "last");
            });
            let reading = hub.subscribe_to("a").resume(None);
            start.wait();
            wait(reading.messages().collect())
        });
        let (last, before) = messages.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap().data, "last", "round {round}");
        let gaps = before.iter().filter(|message| message.is_err()).count();
        let received = before.len();
        assert!(gaps > 0 || received == accepted.load(Relaxed), "round {round}: {received}");
    }
}
