//! Topics that end: which clients receive the last event, which streams end, and when a topic's
//! name can be used again.

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
    for (name, subscription, expected) in [
        // The topic has ended, so the stream ends too.
        ("first visit", of().resume(None), &[][..]),
        ("recent events", of().recent(1).resume(None), &["a3@3"]),
        ("greeting", of().greeting("hello").resume(None), &["hello@3"]),
        ("evicted", of().resume(id(&hub, 0)), &["gap a@1", "a2@2", "a3@3"]),
        ("missed the end", of().resume(id(&hub, 2)), &["a3@3"]),
        ("missed nothing", of().resume(id(&hub, 3)), &[]),
        ("foreign id", of().resume(foreign()), &["gap a@1", "a2@2", "a3@3"]),
        ("malformed id", of().resume(last_id("nonsense")), &["gap a@3"]),
    ] {
        let _case = case(name);
        Client::new(subscription).assert_ends_with(expected);
    }
}

/// Page code asks by `HEAD` whether its stream is over.
#[tokio::test(start_paused = true)]
async fn head_has_the_status_and_headers_of_the_get_and_opens_nothing() {
    let hub = Hub::new();
    publish_all(&hub, ["a1"]);
    end(&hub, "a", "a2");
    let stats = tower_sse::stats::Stats::new();
    let layer = SseLayer::new().max_streams(1).stats(&stats);
    let clients = [Requester::EventSource, Requester::Library, Requester::Fetch, Requester::Get];
    let mut over = 0;
    for client in clients {
        for (topics, last) in [
            (&["a"][..], None),
            (&["a"], Some(id(&hub, 1))),
            (&["a"], Some(id(&hub, 2))),
            (&["a", "b"], Some(id(&hub, 2))),
            (&["b"], None),
        ] {
            let answer = |method| {
                let mut request = client.request("/");
                *request.method_mut() = method;
                let events = hub.subscribe(topics).resume(last.clone());
                answer_to(request, &layer, events.response())
            };
            let _case = case(format!("{client:?}, {topics:?}, {last:?}"));
            let (get, _) = answer(Method::GET).into_parts();
            let opened = stats.snapshot().opened;
            let (head, mut body) = answer(Method::HEAD).into_parts();
            assert_eq!((head.status, head.headers), (get.status, get.headers));
            over += usize::from(head.status == StatusCode::NO_CONTENT);
            assert_eq!(poll_frame(&mut body), Polled::End);
            assert_eq!(stats.snapshot().opened, opened);
            drop(answer(Method::GET));
        }
    }
    // An `EventSource` and a library, each without an id and with the newest.
    assert_eq!(over, 4);
}

/// The memory limit may evict the last event before it is too old. Publishing must still fail then,
/// or it would succeed in one process and fail in others.
#[tokio::test(start_paused = true)]
async fn publishing_fails_until_the_last_event_is_too_old() {
    for (others, rest) in [(0, "a1@1"), (5, "gap a@1")] {
        let retention = Retention::new().age(10 * SECOND);
        let hub = Hub::builder().max_memory(2_000).retention(retention).build();
        end(&hub, "a", "a1");
        (0..others).for_each(|n| _ = publish(&hub, &format!("other {n}"), "x"));
        assert_eq!(hub.topics().iter().any(|topic| **topic == *"a"), others == 0);
        let newest = hub.position();
        let again = || hub.publish_now("a", Event::from("a2"));
        assert!(is_ended(&again()));
        assert!(is_ended(&hub.end("a", Event::from("a2")).await));
        assert!(is_ended(&hub.publish("a", Event::from("a2")).await));
        assert_eq!(hub.position(), newest);
        advance(10 * SECOND - MILLISECOND).await;
        resumed(&hub, &["a"], 0).assert_ends_with(&[rest]);
        assert!(is_ended(&again()));
        advance(MILLISECOND).await;
        if others == 0 {
            resumed(&hub, &["a"], 0).assert_ends_with(&[rest]);
        }
        assert!(again().is_ok());
        // The name now belongs to a new topic.
        resumed(&hub, &["a"], 1).assert_waits_after(&[format!("a2@{}", others + 2)]);
    }
}

/// The newest values have no age limit. Without a time of its own, an ended name would stay taken
/// as long as the hub exists.
#[tokio::test(start_paused = true)]
async fn name_of_a_newest_value_is_free_after_the_default_age() {
    const HOUR: Duration = Duration::from_secs(3600);
    let latest = Hub::builder().retention(Retention::latest());
    let other = Hub::builder().retention(Retention::latest());
    for (name, builder, taken) in [
        ("no age", latest, 300 * SECOND),
        ("other limits", other.retention_of(|_| Some(Retention::new().age(HOUR))), 300 * SECOND),
        ("an age", Hub::builder().retention(Retention::latest().age(HOUR)), HOUR),
    ] {
        let _case = case(name);
        let broker = MemoryBroker::new();
        let [hub, late] = [builder, Hub::builder()].map(|it| connect_with(it, &broker));
        end(&hub, "a", "a1");
        advance(taken - MILLISECOND).await;
        assert!(is_ended(&hub.publish("a", "a2").await));
        advance(MILLISECOND).await;
        resumed(&hub, &["a"], 0).assert_ends_with(&["a1@1"]);
        late.publish("a", "a2").await.unwrap();
        let mut client = resumed(&hub, &["a"], 1);
        hub.publish("a", "a3").await.unwrap();
        assert_eq!(client.read().last().unwrap(), "a3@3");
    }
}

/// The client's process knows the end of the topic, but has not received the event yet.
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

/// Returns a hub whose topic `a` ended so long ago that its name can be used again. If `is_removed`
/// is set, the topic was removed with its last event. Otherwise the next stream evicts that event.
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

fn status(subscription: Subscription) -> u16 {
    let request = Requester::EventSource.request("/");
    answer_to(request, &SseLayer::new(), subscription.response()).status().as_u16()
}

fn visit(hub: &Hub, seen: Option<u64>) -> (u16, Client) {
    let subscribe = || hub.subscribe(["a"]).resume(seen.map(|seen| id(hub, seen)));
    (status(subscribe()), Client::new(subscribe()))
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
        let (status, mut client) = visit(&hub, Some(1));
        assert_eq!(status, 204);
        client.assert_ends_with(&[""; 0]);
    }
}

/// The client's id is newer than the end, so the client waits for the next topic of this name.
#[tokio::test(start_paused = true)]
async fn client_that_came_after_the_end_waits_when_it_reconnects() {
    for is_removed in [false, true] {
        let _case = case(format!("removed: {is_removed}"));
        let hub = hub_with_a_freed_name(is_removed).await;
        publish_all(&hub, ["c3"]);
        let seen = sequence(hub.position().as_str());
        let (status, mut client) = visit(&hub, Some(seen));
        assert_eq!(status, 200);
        client.assert_waits_after(&[""; 0]);
        let since = hub.subscribe(["a"]).since(hub.position()).resume(None);
        Client::new(since).assert_waits_after(&[""; 0]);
        let next = publish(&hub, "a", "next");
        assert_eq!(resumed(&hub, &["a"], seen).read(), [format!("next@{next}")]);
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

/// Without the gap, the client would get no newer id, and reconnect again and again.
#[tokio::test]
async fn gap_that_is_all_that_is_left_is_sent() {
    let evicting = Hub::builder().max_memory(0).build();
    let broker = MemoryBroker::new();
    let losing = Hub::connect(broker.clone()).await.unwrap();
    for hub in [&evicting, &losing] {
        hub.end("a", Event::from("a1")).await.unwrap();
    }
    broker.lose_history();
    for (hub, seen) in [(&evicting, 0), (&losing, 1)] {
        let subscribe = || hub.subscribe(["a"]).resume(id(hub, seen));
        assert_eq!(status(subscribe()), 200, "after {seen}");
        let gap = format!("gap a@{}", seen + 1);
        Client::new(subscribe()).assert_ends_with(&[gap]);
    }
}

/// The topic ended while the client was away, and its name can be used again.
#[tokio::test(start_paused = true)]
async fn client_that_missed_a_forgotten_end_is_stopped() {
    for gap_policy in [GapPolicy::Report, GapPolicy::ReportAndEnd] {
        let hub = Hub::builder().retention(Retention::new().age(10 * SECOND)).build();
        publish(&hub, "a", "a1");
        end(&hub, "a", "a2");
        advance(11 * SECOND).await;
        let subscribe = || hub.subscribe(["a"]).gap_policy(gap_policy).resume(id(&hub, 1));
        Client::new(subscribe()).assert_ends_with(&["gap a@2"]);
        assert_eq!(status(subscribe()), 200);
    }
}

/// With the position of the state, the client would wait for a new topic of this name.
#[tokio::test(start_paused = true)]
async fn client_that_gets_the_state_after_a_forgotten_end_is_stopped() {
    let hub = hub_with_a_freed_name(true).await;
    let subscribe = |last| {
        let since = hub.subscribe_to("a").since(hub.position());
        since.greeting("state").resume(last)
    };
    let mut client = Client::new(subscribe(id(&hub, 0)));
    client.assert_ends_with(&["gap a@0", "state@1"]);
    assert_eq!(status(subscribe(client.last.unwrap())), 204);
    // A client that came after the end waits.
    Client::new(subscribe(id(&hub, 2))).assert_waits_after(&[""; 0]);
}

/// With the position of the end, the client would get the gap of the loss whenever it reconnected.
#[tokio::test(start_paused = true)]
async fn state_after_a_forgotten_end_and_a_loss_comes_once() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retention(Retention::new().age(10 * SECOND)), &broker);
    end(&hub, "a", "a1");
    advance(11 * SECOND).await;
    publish_all(&hub, ["b2"]);
    broker.lose_history();
    let subscribe = |last| {
        let since = hub.subscribe_to("a").since(hub.position());
        Client::new(since.greeting("state").resume(last))
    };
    let mut client = subscribe(id(&hub, 0));
    assert_eq!(client.read(), ["gap a@0", "state@3"]);
    assert!(subscribe(client.last.unwrap()).read().is_empty());
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

/// The topic `a` ended before the client's id, and `c` has not ended. So the stream ends with `c`,
/// and does not wait for a new topic called `a`.
#[tokio::test(start_paused = true)]
async fn forgotten_end_counts_beside_a_topic_that_has_not_ended() {
    let hub = hub_with_a_freed_name(true).await;
    let mut client = resumed(&hub, &["a", "c"], 2);
    end(&hub, "c", "c3");
    client.assert_ends_with(&["c3@3"]);
}

/// Loses the broker's history, in which the topic `a` ends. All of `processes` have received that
/// end. Then a new process begins the topic anew. Returns that process, and the sequence number of
/// its event.
fn begun_anew_after_a_loss(broker: &MemoryBroker, processes: &[Hub]) -> (Hub, u64) {
    let end = sequence(processes[0].position().as_str());
    let (loss, anew) = (end + 1, end + 2);
    let status = |hub: &Hub, last| status(hub.subscribe_to("a").resume(id(hub, last)));
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
    // This process loads the end from the history.
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

/// The history with the end is lost before the process that publishes has read the end.
#[test]
fn process_that_never_received_the_end_begins_the_topic_anew() {
    let (broker, [one, other]) = connected();
    broker.pause(&other);
    one.end("a", "a1").now_or_never().unwrap().unwrap();
    let published = other.publish("a", "x").now_or_never().unwrap();
    assert!(is_ended(&published), "the broker has heard of the end");
    broker.lose_history();
    broker.resume(&other);
    assert_eq!(publish(&other, "a", "anew"), 3);
    for hub in [&one, &other] {
        resumed(hub, &["a"], 1).assert_waits_after(&["gap a@2", "anew@3"]);
    }
}
