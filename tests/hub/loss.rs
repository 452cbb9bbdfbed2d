//! Losses of a broker: events that no hub can know, which its clients are told as gaps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Wake, Waker},
    time::Duration,
};

use tokio::time::advance;
use tower_sse::{
    Event, LastEventId, Message,
    hub::{GapPolicy, Hub, Subscribe},
    testing::MemoryBroker,
};

use crate::{
    client::{Client, asleep, describe, id, read},
    fed::{connect, connect_with, publish, publish_all},
};

/// The gaps of these topics in a loss at this sequence number. Only the last has its id.
fn gaps(topics: &[&str], loss: u64) -> Vec<String> {
    let number = |index| if index + 1 == topics.len() { loss } else { loss - 1 };
    topics
        .iter()
        .enumerate()
        .map(|(index, topic)| format!("gap {topic}@{}", number(index)))
        .collect()
}

/// Reads everything there is, item by item.
fn items(client: &mut Client) -> Vec<Vec<Message>> {
    let mut items = Vec::new();
    while let Poll::Ready(Some(item)) = client.poll() {
        items.push(item);
    }
    items
}

fn foreign() -> LastEventId {
    LastEventId::from(Hub::new().position())
}

fn malformed() -> LastEventId {
    LastEventId::try_from("?").unwrap()
}

#[test]
fn kept_events_come_before_one_gap_for_each_topic() {
    for topics in [1, 3, 600_u64] {
        let broker = MemoryBroker::new();
        let hub = connect(&broker);
        let names: Vec<_> = (0..topics).map(|n| format!("topic {n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut behind = Client::new(hub.subscribe(&names).resume(None));
        // The first topics are published to last.
        let mut events: Vec<_> =
            names.iter().rev().map(|topic| format!("x@{}", publish(&hub, topic, "x"))).collect();
        let mut idle = asleep(&hub, &names, Waker::noop());
        broker.lose_history();
        let loss = topics + 1;
        let gaps = gaps(&names, loss);
        events.extend(gaps.iter().cloned());
        let mut from_the_start = Client::new(hub.subscribe(&names).resume(id(&hub, 0)));
        for client in [&mut behind, &mut from_the_start] {
            assert_eq!(client.read(), events, "{topics} topics");
        }
        let items = items(&mut idle);
        assert!(items.iter().all(|item| item.len() <= 256));
        assert_eq!(items.concat().iter().map(describe).collect::<Vec<_>>(), gaps);
        publish(&hub, names[0], "later");
        for mut client in [behind, from_the_start, idle] {
            assert_eq!(client.read(), [format!("later@{}", loss + 1)]);
        }
    }
}

#[test]
fn client_that_leaves_between_gaps_receives_all_of_them_again_and_no_event_twice() {
    for topics in [3, 600] {
        let broker = MemoryBroker::new();
        let hub = connect(&broker);
        let names: Vec<_> = (0..topics).map(|n| format!("topic {n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for topic in &names[..2] {
            publish(&hub, topic, "before");
        }
        broker.lose_history();
        publish(&hub, names[2], "after");
        let (gaps, after) = (gaps(&names, 3), "after@4".to_owned());
        let mut client = Client::new(hub.subscribe(&names).resume(id(&hub, 0)));
        let messages = items(&mut client).concat();
        let described: Vec<_> = messages.iter().map(describe).collect();
        let before = ["before@1".to_owned(), "before@2".to_owned()];
        assert_eq!(described, [&before[..], &gaps, &[after]].concat());
        let last_gap = 1 + topics;
        for (seen, message) in messages.iter().enumerate() {
            // Every position near the ends of the gaps and of their items, and some others.
            let is_of_interest =
                seen < 4 || seen + 4 > last_gap || seen % 256 < 3 || seen % 100 == 0;
            if is_of_interest {
                let last = LastEventId::try_from(&*message.last_event_id).unwrap();
                let received = if (2..last_gap).contains(&seen) { 2 } else { seen + 1 };
                assert_eq!(read(&hub, &names, last), described[received..], "after {seen}");
            }
        }
    }
}

#[test]
fn gap_policy_reports_or_ends_or_ignores_a_loss() {
    for topics in [&["a"][..], &["a", "b", "c"]] {
        let broker = MemoryBroker::new();
        let hub = connect(&broker);
        let begin = |gap_policy, seen| {
            Client::new(hub.subscribe(topics).gap_policy(gap_policy).resume(id(&hub, seen)))
        };
        publish_all(&hub, ["a1"]);
        broker.lose_history();
        publish_all(&hub, ["a3"]);
        let gaps = gaps(topics, 2);

        let reports = [&["a1@1".to_owned()][..], &gaps, &["a3@3".to_owned()]].concat();
        assert_eq!(begin(GapPolicy::Report, 0).read(), reports);

        let mut ends = begin(GapPolicy::ReportAndEnd, 0);
        assert_eq!(ends.read(), reports[..=gaps.len()]);
        assert!(ends.has_ended());
        let mut again = begin(GapPolicy::ReportAndEnd, 2);
        assert_eq!(again.read(), ["a3@3"]);
        assert!(!again.has_ended());

        let mut ignores = begin(GapPolicy::Ignore, 0);
        assert_eq!(ignores.read(), ["a1@1", "a3@3"]);
        broker.lose_history();
        assert!(ignores.read().is_empty());
        publish_all(&hub, ["a5"]);
        assert_eq!(ignores.read(), ["a5@5"]);
        assert_eq!(again.read(), self::gaps(topics, 4));
        assert!(again.has_ended());
        let reported = 3 * topics.len() as u64;
        assert_eq!(hub.stats().gaps(), reported, "one for each gap that was sent");
    }
}

/// A client without an id has missed nothing.
#[test]
fn first_visit_is_not_told_of_an_earlier_loss() {
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
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
    let ids = [id(&hub, 1), id(&hub, 2)].map(|last| self::read(&hub, &topics, last));
    let rest = [vec!["a4@4".to_owned()], gaps(&topics, 5)].concat();
    assert_eq!(ids, [[vec!["b2@2".to_owned()], rest.clone()].concat(), rest]);
}

#[test]
fn first_visit_is_told_of_a_loss_before_its_first_event() {
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
    publish_all(&hub, ["a1"]);
    let begin = |recent| Client::new(hub.subscribe(["a", "b"]).recent(recent).resume(None));
    let [mut without, mut with_recent] = [begin(0), begin(5)];
    broker.lose_history();
    assert_eq!(without.read(), gaps(&["a", "b"], 2));
    assert_eq!(with_recent.read(), ["a1@1", "gap a@1", "gap b@2"]);
}

#[test]
fn unknown_id_is_told_of_later_losses_only() {
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
    publish_all(&hub, ["a1"]);
    broker.lose_history();
    publish_all(&hub, ["a3"]);
    let topics = ["a", "b"];
    let begin = |last| Client::new(hub.subscribe(topics).recent(1).resume(Some(last)));
    // The gaps at the start cover the earlier loss.
    let mut clients = [begin(foreign()), begin(malformed()), begin(id(&hub, 4))];
    let read = clients.each_mut().map(Client::read);
    let after_malformed = vec!["gap a@0", "gap b@2", "a3@3"];
    let after_foreign = vec!["gap a@0", "gap b@0", "a1@1", "a3@3"];
    assert_eq!(read, [after_foreign, after_malformed.clone(), after_malformed]);
    // One of these has not read its gaps when the next loss happens.
    let mut late = [begin(foreign()), begin(malformed())];
    broker.lose_history();
    let read = late.each_mut().map(Client::read);
    let again = ["gap a@3", "gap b@4"];
    assert_eq!(read[0], [&["gap a@0", "gap b@0", "a1@1", "a3@3"][..], &again].concat());
    assert_eq!(read[1], [&["gap a@0", "gap b@2", "a3@3"][..], &again].concat());
    for client in &mut clients {
        assert_eq!(client.read(), again);
    }
}

/// Every gap of a foreign id is above the loss, so its client has no id of this hub yet.
#[test]
fn loss_before_the_gaps_of_a_foreign_id_is_repeated_until_the_last() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retain_events(1), &broker);
    let begin = |last| Client::new(hub.subscribe(["a", "b"]).resume(last));
    publish_all(&hub, ["a1", "b2"]);
    let mut client = begin(foreign());
    broker.lose_history();
    publish_all(&hub, ["a4", "b5", "a6", "b7"]);
    let messages = items(&mut client).concat();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@0", "gap b@3", "gap a@4", "gap b@5", "a6@6", "b7@7"]);
    assert_eq!(&*messages[0].last_event_id, "1-0", "still foreign");
    for (seen, message) in messages.iter().enumerate().skip(1) {
        let last = LastEventId::try_from(&*message.last_event_id).unwrap();
        assert_eq!(begin(last).read(), described[seen + 1..], "after {seen}");
    }
}

#[test]
fn two_losses_are_told_in_order_or_as_one() {
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
    let topics = ["a", "b"];
    let mut prompt = asleep(&hub, &topics, Waker::noop());
    publish_all(&hub, ["a1"]);
    broker.lose_history();
    assert_eq!(prompt.read(), [&["a1@1".to_owned()][..], &gaps(&topics, 2)].concat());
    publish_all(&hub, ["b3"]);
    broker.lose_history();
    assert_eq!(prompt.read(), [&["b3@3".to_owned()][..], &gaps(&topics, 4)].concat());
    // A client that was away for both cannot miss more than by the second.
    for (seen, events) in [(0, &["a1@1", "b3@3"][..]), (1, &["b3@3"]), (2, &["b3@3"]), (3, &[])] {
        let mut expected: Vec<_> = events.iter().map(ToString::to_string).collect();
        expected.extend(gaps(&topics, 4));
        assert_eq!(read(&hub, &topics, id(&hub, seen)), expected, "after {seen}");
    }
    broker.lose_history();
    broker.lose_history();
    assert_eq!(prompt.read(), gaps(&topics, 6), "nothing between them");
    assert!(read(&hub, &topics, id(&hub, 6)).is_empty());
}

#[test]
fn gap_of_evicted_events_is_told_beside_that_of_the_loss() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retain_events(2), &broker);
    publish_all(&hub, ["a1", "a2", "b3", "a4", "a5"]);
    broker.lose_history();
    let loss = gaps(&["a", "b"], 6);
    let expected = [&["gap a@2", "b3@3", "a4@4", "a5@5"].map(str::to_owned)[..], &loss].concat();
    assert_eq!(read(&hub, &["a", "b"], id(&hub, 0)), expected);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@2", "a4@4", "a5@5", "gap a@6"]);
    // Now all events from before the loss are evicted, and one from after it.
    publish_all(&hub, ["a7", "a8", "a9"]);
    let after = ["gap a@7", "a8@8", "a9@9"].map(str::to_owned);
    let expected = [&["b3@3".to_owned()][..], &loss, &after].concat();
    assert_eq!(read(&hub, &["a", "b"], id(&hub, 0)), expected);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@6", "gap a@7", "a8@8", "a9@9"]);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn loss_wakes_all_waiting_subscribers() {
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut clients = ["a", "b", "c"].map(|topic| asleep(&hub, &[topic], &waker));
    for round in 1..=3_u64 {
        broker.lose_history();
        assert_eq!(count.0.load(SeqCst), clients.len() * round as usize);
        for (client, topic) in clients.iter_mut().zip(["a", "b", "c"]) {
            assert_eq!(client.read_with(&waker), gaps(&[topic], round));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flush_window_delays_a_loss_with_the_events() {
    const WINDOW: Duration = Duration::from_millis(20);
    let broker = MemoryBroker::new();
    let hub = connect(&broker);
    let mut client = Client::new(hub.subscribe(["a", "b"]).flush_window(WINDOW).resume(None));
    assert!(client.poll().is_pending());
    publish_all(&hub, ["a1"]);
    assert_eq!(client.read(), ["a1@1"], "the first at once");
    publish_all(&hub, ["b2"]);
    broker.lose_history();
    publish_all(&hub, ["a4"]);
    assert!(client.read().is_empty());
    advance(WINDOW).await;
    assert_eq!(client.read(), ["b2@2", "gap a@2", "gap b@3", "a4@4"]);
    advance(WINDOW).await;
    assert!(client.read().is_empty());
    broker.lose_history();
    assert_eq!(client.read(), gaps(&["a", "b"], 5), "at once after a pause");
}

#[test]
fn client_of_a_hub_that_received_less_is_told_of_the_loss() {
    let broker = MemoryBroker::new();
    let [ahead, behind] = [connect(&broker), connect(&broker)];
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

#[test]
fn hub_that_connects_after_a_loss_tells_it() {
    let broker = MemoryBroker::new();
    let early = connect(&broker);
    publish_all(&early, ["a1"]);
    broker.lose_history();
    publish_all(&early, ["a3"]);
    let late = connect(&broker);
    assert_eq!(late.position(), early.position());
    for (seen, expected) in [
        (0, &["gap a@1", "gap new@2", "a3@3"][..]),
        (1, &["gap a@1", "gap new@2", "a3@3"]),
        (2, &["a3@3"]),
    ] {
        assert_eq!(read(&late, &["a", "new"], id(&late, seen)), expected, "after {seen}");
    }
    let empty = MemoryBroker::new();
    empty.lose_history();
    let hub = connect(&empty);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@1"]);
    assert!(Client::new(hub.subscribe(["a"]).resume(None)).read().is_empty());
}
