//! Clients of several topics that move between processes which have received, kept or lost
//! different events.

use crate::*;

/// Returns a hub that keeps two events of each topic, and one that keeps more.
fn pair() -> (MemoryBroker, Hub, Hub) {
    let broker = MemoryBroker::new();
    let small = connect_with(Hub::builder().retention(Retention::new().events(2)), &broker);
    let large = connect(&broker);
    (broker, small, large)
}

const EVENTS: [&str; 7] = ["a1", "b2", "b3", "a4", "a5", "a6", "b7"];

#[test]
fn client_that_leaves_after_any_message_misses_nothing_elsewhere() {
    let (_broker, small, large) = pair();
    publish_all(&small, EVENTS);
    let topics = ["a", "b"];
    let messages = resumed(&small, &topics, 0).messages();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@0", "gap b@2", "b3@3", "a5@5", "a6@6", "b7@7"]);
    for (read, message) in (1..).zip(&messages) {
        let rest = self::read(&large, &topics, last_id(&message.last_event_id));
        let (before, _) = described.split_at(read);
        for (event, number) in EVENTS.iter().zip(1..) {
            let received = |list: &[String]| list.contains(&format!("{event}@{number}"));
            let is_gap = |it: &String| it.starts_with(&format!("gap {}", &event[..1]));
            let is_reported = before.iter().any(is_gap);
            assert!(received(before) || received(&rest) || is_reported, "{event} after {before:?}");
            assert!(!received(before) || !received(&rest), "{event} twice");
        }
    }
}

/// If the client's id stayed below the gap, the client would get the same gap at each reconnection.
#[test]
fn stream_that_ends_at_gaps_first_gets_past_them() {
    let (_broker, small, _) = pair();
    publish_all(&small, EVENTS);
    let begin = |last| {
        let subscribe = small.subscribe(["a", "b"]).gap_policy(GapPolicy::ReportAndEnd);
        Client::new(subscribe.resume(last))
    };
    let mut client = begin(id(&small, 0));
    client.assert_ends_with(&["gap a@0", "gap b@2", "b3@3"]);
    let mut again = begin(client.last.unwrap());
    again.assert_ends_with(&["gap a@4"]);
    begin(again.last.unwrap()).assert_waits_after(&["a5@5", "a6@6", "b7@7"]);
    // No event is left below the gap.
    publish_all(&small, ["a8", "a9", "a10"]);
    let mut client = begin(id(&small, 7));
    client.assert_ends_with(&["gap a@8"]);
    begin(client.last.unwrap()).assert_waits_after(&["a9@9", "a10@10"]);
}

/// There are more topics than gaps in one item. One client returns, and another one falls behind.
#[test]
fn gaps_of_many_topics_come_first_with_one_later_id() {
    const TOPICS: u64 = 600;
    let names: Vec<_> = (0..TOPICS).map(|topic| format!("t{topic}")).collect();
    for policy in [GapPolicy::Report, GapPolicy::ReportAndEnd] {
        let hub = Hub::builder().retention(Retention::new().events(1)).build();
        let begin = |last| Client::new(hub.subscribe(&names).gap_policy(policy).resume(last));
        let mut behind = begin(None);
        assert!(behind.poll().is_pending());
        publish(&hub, &names[7], "x");
        assert_eq!(behind.read(), ["x@1"]);
        for name in names.iter().chain(&names) {
            publish(&hub, name, "x");
        }
        for mut client in [behind, begin(Some(id(&hub, 1)))] {
            let items: Vec<_> = client.items(Waker::noop()).collect();
            assert!(items.iter().all(|item| item.len() <= 256));
            let messages: Vec<_> = items.concat().iter().map(describe).collect();
            let (gaps, events) = messages.split_at(names.len());
            assert_eq!(gaps[names.len() - 1], format!("gap t{}@{}", TOPICS - 1, TOPICS + 1));
            assert!(gaps.iter().rev().skip(1).all(|gap| gap.ends_with("@1")));
            assert!(gaps.iter().map(|gap| gap.split(['@', ' ']).nth(1).unwrap()).eq(&names));
            let expected: Vec<_> =
                (TOPICS + 2..2 * TOPICS + 2).map(|number| format!("x@{number}")).collect();
            let mut rest = client;
            if policy == GapPolicy::ReportAndEnd {
                assert!(events.is_empty() && rest.has_ended);
                rest = begin(rest.last);
                assert_eq!(rest.read(), expected);
            } else {
                assert_eq!(events, expected);
            }
            publish(&hub, "other", "x");
            assert!(rest.read().is_empty() && !rest.has_ended);
        }
    }
}

/// The lossy process keeps one event of each topic, and has lost the events 2 to 4.
#[tokio::test]
async fn gap_before_a_loss_passes_nothing_that_was_lost() {
    let hub = |loses: bool| {
        let (given, taken) = mpsc::channel();
        let builder = Hub::builder().retention(Retention::new().events(if loses { 1 } else { 9 }));
        let hub = connect_by_hand(builder, move |feed| given.send(feed).unwrap());
        let mut feed: Feed = taken.recv().unwrap();
        for (number, topic) in (1..).zip(["a", "b", "b", "b", "a", "a"]) {
            if !loses || !(2..5).contains(&number) {
                let event = Event::from(format!("{topic}{number}"));
                feed.event(arrival(number), topic, &event).unwrap();
            } else if number == 4 {
                feed.report_loss(number).unwrap();
            }
        }
        feed.spawn(|_| pending());
        hub
    };
    let (lossy, whole) = (hub(true), hub(false));
    let messages = resumed(&lossy, &["a", "b"], 1).messages();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@1", "gap a@1", "gap b@4", "a6@6"]);
    for message in &messages[..2] {
        let last = last_id(&message.last_event_id);
        assert_eq!(read(&whole, &["a", "b"], last), ["b2@2", "b3@3", "b4@4", "a5@5", "a6@6"]);
    }
}

/// The value is evicted because of its age, not replaced by a newer one.
#[tokio::test(start_paused = true)]
async fn evicted_newest_value_is_a_gap_before_older_events() {
    let retention = |topic: &str| (topic == "p").then(|| Retention::latest().age(MILLISECOND));
    let hub = Hub::builder().retention_of(retention).build();
    publish_all(&hub, ["a1", "p2", "a3"]);
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 0)), ["a1@1", "p2@2", "a3@3"]);
    advance(2 * MILLISECOND).await;
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 0)), ["gap p@0", "a1@1", "a3@3"]);
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 2)), ["a3@3"]);
}
