//! Losses of a broker: events that no hub can know, which its clients are told as gaps.

use crate::*;

/// The gaps of these topics in a loss at this sequence number, for a client that has received
/// everything before it. Only the last has its id.
pub(crate) fn gaps(topics: &[impl AsRef<str>], loss: u64) -> Vec<String> {
    let number = |index| if index + 1 == topics.len() { loss } else { loss - 1 };
    let topics = topics.iter().map(AsRef::as_ref).enumerate();
    topics.map(|(index, topic)| format!("gap {topic}@{}", number(index))).collect()
}

#[test]
fn kept_events_come_before_one_gap_for_each_topic() {
    for topics in [1, 3, 600_u64] {
        let (broker, [hub]) = connected();
        let names: Vec<_> = (0..topics).map(|n| format!("topic {n}")).collect();
        let mut behind = subscribed(&hub, &names);
        // The first topics are published to last.
        let mut events: Vec<_> =
            names.iter().rev().map(|topic| format!("x@{}", publish(&hub, topic, "x"))).collect();
        let mut idle = asleep(&hub, &names, Waker::noop());
        broker.lose_history();
        let loss = topics + 1;
        let gaps = gaps(&names, loss);
        events.extend(gaps.iter().cloned());
        let mut from_the_start = resumed(&hub, &names, 0);
        for client in [&mut behind, &mut from_the_start] {
            assert_eq!(client.read(), events, "{topics} topics");
        }
        let items: Vec<_> = idle.items(Waker::noop()).collect();
        assert!(items.iter().all(|item| item.len() <= 256));
        assert_eq!(items.concat().iter().map(describe).collect::<Vec<_>>(), gaps);
        publish(&hub, &names[0], "later");
        for mut client in [behind, from_the_start, idle] {
            assert_eq!(client.read(), [format!("later@{}", loss + 1)]);
        }
    }
}

#[test]
fn client_that_leaves_between_gaps_gets_all_gaps_but_no_event_again() {
    for topics in [3, 600] {
        let (broker, [hub]) = connected();
        let names: Vec<_> = (0..topics).map(|n| format!("topic {n}")).collect();
        for topic in &names[..2] {
            publish(&hub, topic, "before");
        }
        broker.lose_history();
        publish(&hub, &names[2], "after");
        let messages = resumed(&hub, &names, 0).messages();
        let described: Vec<_> = messages.iter().map(describe).collect();
        let (before, after) = (["before@1", "before@2"].map(str::to_owned), ["after@4".to_owned()]);
        assert_eq!(described, [&before[..], &gaps(&names, 3), &after].concat());
        let last_gap = 1 + topics;
        for (seen, message) in messages.iter().enumerate() {
            // Every position near the ends of the gaps and of their items, and some others.
            let is_of_interest =
                seen < 4 || seen + 4 > last_gap || seen % 256 < 3 || seen % 100 == 0;
            if is_of_interest {
                let last = last_id(&message.last_event_id);
                let received = if (2..last_gap).contains(&seen) { 2 } else { seen + 1 };
                assert_eq!(read(&hub, &names, last), described[received..], "after {seen}");
            }
        }
    }
}

#[test]
fn losses_are_told_before_the_events_after_them() {
    let (broker, [hub]) = connected();
    let topics = ["a", "b"];
    let mut prompt = asleep(&hub, &topics, Waker::noop());
    publish_all(&hub, ["a1"]);
    broker.lose_history();
    let all = ["a1@1", "gap a@1", "gap b@2", "b3@3", "gap a@3", "gap b@4"];
    assert_eq!(prompt.read(), all[..3]);
    publish_all(&hub, ["b3"]);
    broker.lose_history();
    assert_eq!(prompt.read(), all[3..]);
    // A client that was away for both: it can leave before the second, and go to a process that
    // has lost less.
    for (seen, first) in [(0, 0), (1, 1), (2, 3), (3, 4)] {
        assert_eq!(read(&hub, &topics, id(&hub, seen)), all[first..], "after {seen}");
    }
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["a1@1", "gap a@4"], "nothing between them");
    broker.lose_history();
    broker.lose_history();
    assert_eq!(prompt.read(), ["gap a@4", "gap b@6"], "nothing between them");
    assert!(read(&hub, &topics, id(&hub, 6)).is_empty());
}

#[test]
fn gap_of_evicted_events_is_told_beside_that_of_the_loss() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retention(Retention::new().events(2)), &broker);
    publish_all(&hub, ["a1", "a2", "b3", "a4", "a5"]);
    broker.lose_history();
    let expected = ["gap a@2", "b3@3", "a4@4", "a5@5", "gap a@5", "gap b@6"];
    assert_eq!(read(&hub, &["a", "b"], id(&hub, 0)), expected);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@2", "a4@4", "a5@5", "gap a@6"]);
    // Now all events from before the loss are evicted, and one from after it.
    publish_all(&hub, ["a7", "a8", "a9"]);
    let expected = ["b3@3", "gap a@3", "gap b@6", "gap a@7", "a8@8", "a9@9"];
    assert_eq!(read(&hub, &["a", "b"], id(&hub, 0)), expected);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@6", "gap a@7", "a8@8", "a9@9"]);
}

#[test]
fn loss_wakes_all_waiting_subscribers() {
    let (broker, [hub]) = connected();
    let (count, waker) = Wakes::new();
    let mut clients = ["a", "b", "c"].map(|topic| asleep(&hub, &[topic], &waker));
    for round in 1..=3_u64 {
        broker.lose_history();
        assert_eq!(count.get(), clients.len() * round as usize);
        for (client, topic) in clients.iter_mut().zip(["a", "b", "c"]) {
            assert_eq!(client.read_with(&waker), gaps(&[topic], round));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flush_window_delays_a_loss_with_the_events() {
    const WINDOW: Duration = Duration::from_millis(20);
    let (broker, [hub]) = connected();
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
    publish_all(&hub, ["a6"]);
    assert!(client.read().is_empty(), "the gaps opened a window");
    advance(WINDOW).await;
    assert_eq!(client.read(), ["a6@6"]);
}
