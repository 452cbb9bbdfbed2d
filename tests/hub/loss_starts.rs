//! Which losses a client is told, by where its subscription starts.

use tower_sse::hub::Subscribe;

use crate::*;

#[test]
fn gap_policy_reports_or_ends_or_ignores_a_loss() {
    for topics in [&["a"][..], &["a", "b", "c"]] {
        let (broker, [hub]) = connected();
        let begin = |gap_policy, seen| {
            Client::new(hub.subscribe(topics).gap_policy(gap_policy).resume(id(&hub, seen)))
        };
        publish_all(&hub, ["a1"]);
        broker.lose_history();
        publish_all(&hub, ["a3"]);
        let gaps = gaps(topics, 2);

        let reports = [&["a1@1".to_owned()][..], &gaps, &["a3@3".to_owned()]].concat();
        begin(GapPolicy::Report, 0).assert_waits_after(&reports);

        begin(GapPolicy::ReportAndEnd, 0).assert_ends_with(&reports[..=topics.len()]);
        let mut again = begin(GapPolicy::ReportAndEnd, 2);
        again.assert_waits_after(&["a3@3"]);

        let mut ignores = begin(GapPolicy::Ignore, 0);
        assert_eq!(ignores.read(), ["a1@1", "a3@3"]);
        broker.lose_history();
        assert!(ignores.read().is_empty());
        publish_all(&hub, ["a5"]);
        assert_eq!(ignores.read(), ["a5@5"]);
        again.assert_ends_with(&self::gaps(topics, 4));
        let reported = 3 * topics.len() as u64;
        assert_eq!(hub.stats().gaps, reported, "one for each gap that was sent");
    }
}

/// A client without an id has missed nothing.
#[test]
fn first_visit_is_not_told_of_an_earlier_loss() {
    let (broker, [hub]) = connected();
    publish_all(&hub, ["a1", "b2"]);
    broker.lose_history();
    publish_all(&hub, ["a4"]);
    let topics = ["a", "b"];
    let subscribe = || hub.subscribe(topics);
    let hello = || Event::new().event("hello").data("hello");
    let begin = |subscribe: Subscribe| Client::new(subscribe.resume(None));
    let mut clients = [
        begin(subscribe()),
        begin(subscribe().recent(1)),
        begin(subscribe().recent(10)),
        begin(subscribe().greeting(hello())),
        begin(subscribe().greeting(hello()).recent(2)),
    ];
    let read = clients.each_mut().map(Client::read);
    let all = vec!["a1@1", "b2@2", "a4@4"];
    let greeted = vec!["hello@1", "b2@2", "a4@4"];
    assert_eq!(read, [vec![], vec!["a4@4"], all, vec!["hello@4"], greeted]);

    broker.lose_history();
    for client in &mut clients {
        assert_eq!(client.read(), gaps(&topics, 5), "a later loss");
    }
    // One with an id from before the loss is told, as nobody knows how far it got.
    let rest = ["b2@2", "gap a@2", "gap b@3", "a4@4", "gap a@4", "gap b@5"];
    assert_eq!(self::read(&hub, &topics, id(&hub, 2)), rest[1..]);
    assert_eq!(self::read(&hub, &topics, id(&hub, 1)), rest);
}

#[test]
fn first_visit_is_told_of_a_loss_before_its_first_event() {
    let (broker, [hub]) = connected();
    publish_all(&hub, ["a1"]);
    let begin = |recent| Client::new(hub.subscribe(["a", "b"]).recent(recent).resume(None));
    let [mut without, mut with_recent] = [begin(0), begin(5)];
    broker.lose_history();
    assert_eq!(without.read(), gaps(&["a", "b"], 2));
    assert_eq!(with_recent.read(), ["a1@1", "gap a@1", "gap b@2"]);
}

#[test]
fn unknown_id_is_told_of_later_losses_only() {
    let (broker, [hub]) = connected();
    publish_all(&hub, ["a1"]);
    broker.lose_history();
    publish_all(&hub, ["a3"]);
    let topics = ["a", "b"];
    let begin = |last| Client::new(hub.subscribe(topics).recent(1).resume(Some(last)));
    // The gaps at the start cover the earlier loss.
    let mut visits = [
        (foreign(), &["gap a@0", "gap b@0", "a1@1", "a3@3"][..]),
        (last_id("?"), &["gap a@0", "gap b@2", "a3@3"]),
        (id(&hub, 4), &["gap a@0", "gap b@2", "a3@3"]),
    ]
    .map(|(last, expected)| (begin(last.clone()), begin(last), expected));
    for (prompt, _, expected) in &mut visits {
        assert_eq!(prompt.read(), *expected);
    }
    broker.lose_history();
    let again = ["gap a@3", "gap b@4"];
    for (prompt, late, expected) in &mut visits {
        assert_eq!(prompt.read(), again);
        assert_eq!(late.read(), [expected, &again[..]].concat(), "its gaps were still unread");
    }
}

/// Every gap of a foreign id is above the loss, so its client has no id of this hub yet.
#[test]
fn loss_before_gaps_of_a_foreign_id_repeats_until_the_last() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retention(Retention::new().events(1)), &broker);
    let begin = |last| Client::new(hub.subscribe(["a", "b"]).resume(last));
    publish_all(&hub, ["a1", "b2"]);
    let mut client = begin(foreign());
    broker.lose_history();
    publish_all(&hub, ["a4", "b5", "a6", "b7"]);
    let messages = client.messages();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@0", "gap b@3", "gap a@4", "gap b@5", "a6@6", "b7@7"]);
    assert_eq!(&*messages[0].last_event_id, "1-0", "still foreign");
    for (seen, message) in messages.iter().enumerate().skip(1) {
        let last = last_id(&message.last_event_id);
        assert_eq!(begin(last).read(), described[seen + 1..], "after {seen}");
    }
}

#[test]
fn hub_that_connects_after_a_loss_tells_it() {
    let (broker, [early]) = connected();
    publish_all(&early, ["a1"]);
    broker.lose_history();
    publish_all(&early, ["a3"]);
    let late = connect(&broker);
    assert_eq!(late.position(), early.position());
    for (seen, expected) in [
        (0, &["gap a@0", "gap new@2", "a3@3"][..]),
        (1, &["gap a@1", "gap new@2", "a3@3"]),
        (2, &["a3@3"]),
    ] {
        assert_eq!(read(&late, &["a", "new"], id(&late, seen)), expected, "after {seen}");
    }
    let empty = MemoryBroker::new();
    empty.lose_history();
    let hub = connect(&empty);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@1"]);
    assert!(subscribed(&hub, &["a"]).read().is_empty());
}

#[test]
fn client_of_a_hub_that_received_less_is_told_of_the_loss() {
    let (broker, [ahead, behind]) = connected();
    publish_all(&ahead, ["a1"]);
    broker.pause(&behind);
    publish_all(&ahead, ["a2", "a3"]);
    let mut client = Client::new(behind.subscribe(["a"]).resume(id(&ahead, 0)));
    broker.lose_history();
    publish_all(&ahead, ["a5"]);
    assert_eq!(client.read(), ["a1@1"]);
    broker.resume(&behind);
    assert_eq!(client.read(), ["gap a@4", "a5@5"], "its hub never received the rest");
    for (seen, expected) in [
        (1, &["gap a@4", "a5@5"][..]),
        (2, &["gap a@4", "a5@5"]),
        (3, &["gap a@4", "a5@5"]),
        (4, &["a5@5"]),
    ] {
        assert_eq!(read(&behind, &["a"], id(&ahead, seen)), expected, "after {seen}");
    }
    assert_eq!(read(&ahead, &["a"], id(&ahead, 1)), ["a2@2", "a3@3", "gap a@4", "a5@5"]);
}
