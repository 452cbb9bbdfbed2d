//! Losses that a broker reports: clients receive gaps for events that the hubs may have missed.

use crate::*;

/// Returns the gaps that report a loss at this sequence number in these topics, to a client that
/// has received everything before it. Only the last gap has the id of the loss.
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
            // Checks the first and the last positions, every hundredth position, and those around
            // each multiple of 256, because an item has up to 256 gaps.
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
fn events_of_other_topics_precede_loss_although_next_value_follows_it() {
    let broker = MemoryBroker::new();
    let builder = Hub::builder().retention_of(|topic| (topic == "value").then(Retention::latest));
    let hub = connect_with(builder, &broker);
    let topics = ["value", "a", "b", "c", "d"];
    let mut client = subscribed(&hub, &topics);
    for topic in ["a", "value", "b"] {
        publish(&hub, topic, "x");
    }
    assert_eq!(describe(&client.items(Waker::noop()).next().unwrap()[0]), "x@1");
    broker.lose_history();
    publish(&hub, "value", "later");
    let gaps = topics.map(|topic| format!("gap {topic}@{}", if topic == "d" { 4 } else { 3 }));
    assert_eq!(client.read(), [&["x@3".to_owned()], &gaps[..], &["later@5".to_owned()]].concat());
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

// Losses of one process alone, such as entries that were trimmed before it read them: clients move
// between processes that have lost different events.

/// Returns a hub that has received the first of five events, and those after `lost_up_to`.
fn hub(lost_up_to: u64) -> Hub {
    let (hub, mut feed) = fed_by_hand();
    for (number, topic) in (1..).zip(["a", "b", "c", "a", "b"]) {
        if number == 1 || number > lost_up_to {
            feed.event(arrival(number), topic, &format!("{topic}{number}").into()).unwrap();
        } else if number == lost_up_to {
            feed.report_loss(number).unwrap();
        }
    }
    // Dropping the feed would close the hub.
    feed.spawn(|_| pending());
    hub
}

/// Seed 1119687 of the simulation found this bug: the gaps before the last one had the id just
/// before the loss. So a process without that loss did not send the client the events that the
/// client had missed.
#[tokio::test]
async fn client_that_leaves_between_gaps_misses_nothing_at_another_process() {
    let (whole, lossy) = (hub(0), hub(4));
    let topics = ["a", "b", "c"];
    for start in [0, 1] {
        let messages = resumed(&lossy, &topics, start).messages();
        let described: Vec<_> = messages.iter().map(describe).collect();
        let first = usize::try_from(start).unwrap();
        let expected = ["a1@1", "gap a@1", "gap b@1", "gap c@4", "b5@5"];
        assert_eq!(described, expected[first..]);
        for message in messages.iter().filter(|message| message.data != "c" && message.data != "b5")
        {
            let last = last_id(&message.last_event_id);
            assert_eq!(read(&whole, &topics, last.clone()), ["b2@2", "c3@3", "a4@4", "b5@5"]);
            assert_eq!(read(&lossy, &topics, last), expected[1..], "all gaps again");
        }
    }
}

// Which losses a client learns of, depending on where its subscription starts.

#[test]
fn gap_policy_reports_or_ends_at_a_loss() {
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

        broker.lose_history();
        again.assert_ends_with(&self::gaps(topics, 4));
        let reported = 3 * topics.len() as u64;
        assert_eq!(hub.stats().gaps, reported, "one for each gap that was sent");
    }
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
    for seen in 1..=4 {
        let missed = &["gap a@4", "a5@5"][usize::from(seen == 4)..];
        assert_eq!(read(&behind, &["a"], id(&ahead, seen)), missed, "after {seen}");
    }
    assert_eq!(read(&ahead, &["a"], id(&ahead, 1)), ["a2@2", "a3@3", "gap a@4", "a5@5"]);
}
