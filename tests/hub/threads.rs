//! The promises of the [model](crate::model), while everything happens at the same time.

use std::time::Instant;

use crate::*;

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

/// What a client has seen, of one connection or several.
struct History {
    begin: u64,
    messages: Vec<Message>,
    last: LastEventId,
}

impl History {
    /// It begins with what is published from now on.
    fn new(hub: &Hub) -> Self {
        let last = LastEventId::from(hub.position());
        Self { begin: sequence(last.as_str()), messages: Vec::new(), last }
    }

    /// Reads some items; `false` if the stream has ended.
    fn read(&mut self, subscription: Subscription, items: usize) -> bool {
        let mut client = Client::new(subscription);
        for _ in 0..items {
            let Some(messages) = client.next() else { return false };
            self.messages.extend(messages);
            self.last = client.last.clone().expect("an id");
        }
        true
    }

    /// Asserts that each event published to its topics since its begin was received once and in
    /// order, or was reported as a gap.
    fn check(&self, topics: &[&str], published: &BTreeMap<u64, &str>) {
        let mut served: BTreeMap<_, _> = topics.iter().map(|topic| (*topic, self.begin)).collect();
        let mut newest = self.begin;
        for Message { event, data: topic, last_event_id, .. } in &self.messages {
            let sequence = sequence(last_event_id);
            assert!(sequence > newest, "in order, and once");
            newest = sequence;
            assert_eq!(published[&sequence], topic);
            let served = served.get_mut(&**topic).expect("its topics only");
            let between = published.range(*served + 1..sequence);
            let missed = between.filter(|(_, of)| *of == topic).count();
            assert!(
                event == "gap" || missed == 0,
                "{missed} events of {topic} are missing before {sequence}"
            );
            *served = sequence;
        }
        for (topic, served) in served {
            let missed = published.range(served + 1..).filter(|(_, of)| **of == topic).count();
            assert_eq!(missed, 0, "events of {topic} are missing at the end");
        }
    }
}

/// Publishes in a thread for each topic, closes the hub, and gives all events by their numbers.
fn publish_in_threads(hub: &Hub, count: usize) -> BTreeMap<u64, &'static str> {
    let published = thread::scope(|scope| {
        let publishers = TOPICS.map(|topic| {
            scope.spawn(move || {
                let numbers = (0..count).map(|_| (publish(hub, topic, topic), topic));
                numbers.collect::<Vec<_>>()
            })
        });
        publishers.map(|publisher| publisher.join().unwrap())
    });
    hub.close();
    let published: BTreeMap<_, _> = published.into_iter().flatten().collect();
    assert!(published.keys().copied().eq(1..=(TOPICS.len() * count) as u64), "no number twice");
    published
}

/// Clients that come, read some, leave, and come back with the last id that they have seen.
fn reconnecting_clients(hub: &Hub, count: usize, is_lossy: bool) {
    thread::scope(|scope| {
        let clients = [&TOPICS[..], &["a"], &["b", "d"], &["c", "a", "d"]].map(|topics| {
            let client = move || {
                let mut history = History::new(hub);
                let mut random = fastrand::Rng::with_seed(topics.len() as u64);
                loop {
                    let subscription = hub.subscribe(topics).resume(history.last.clone());
                    if !history.read(subscription, random.usize(..30)) {
                        return history;
                    }
                }
            };
            (topics, scope.spawn(client))
        });
        let published = publish_in_threads(hub, count);
        for (topics, client) in clients {
            let history = client.join().unwrap();
            history.check(topics, &published);
            let has_gap = history.messages.iter().any(|message| message.event == "gap");
            assert!(is_lossy || !has_gap, "nothing was lost");
        }
    });
    assert!(TOPICS.iter().all(|topic| hub.subscriber_count(topic) == 0));
}

#[test]
fn reconnecting_clients_miss_no_event_during_publishing() {
    let count = 6_000;
    let hub = Hub::builder().retention(Retention::new().events(count).bytes(usize::MAX)).build();
    reconnecting_clients(&hub, count, false);
}

#[test]
fn reconnecting_clients_receive_a_gap_for_all_evicted_events() {
    reconnecting_clients(
        &Hub::builder().retention(Retention::new().events(3)).build(),
        6_000,
        true,
    );
    // Topics go and come back all the time.
    reconnecting_clients(&Hub::builder().max_memory(200).build(), 6_000, true);
}

#[test]
fn stream_ends_after_the_events_published_before_close() {
    for round in 0..40 {
        let hub =
            Hub::builder().retention(Retention::new().events(usize::MAX).bytes(usize::MAX)).build();
        let start = Barrier::new(TOPICS.len() + 1);
        thread::scope(|scope| {
            let mut client = subscribed(&hub, &TOPICS);
            let client = scope.spawn(move || {
                let received = iter::from_fn(|| client.next()).flatten();
                received.map(|message| sequence(&message.last_event_id)).collect::<Vec<_>>()
            });
            let publishers = TOPICS.map(|topic| {
                let (hub, start) = (&hub, &start);
                scope.spawn(move || {
                    start.wait();
                    for published in 0.. {
                        if let Err(error) = hub.publish_now(topic, Event::from(topic)) {
                            assert!(matches!(error, PublishError::Closed), "{error}");
                            return published;
                        }
                    }
                    0
                })
            });
            start.wait();
            // The hub closes at some time while the others publish.
            for _ in 0..=round {
                publish(&hub, TOPICS[0], TOPICS[0]);
            }
            hub.close();
            let others = publishers.map(|publisher| publisher.join().unwrap());
            let published = others.iter().sum::<u64>() + round + 1;
            let seen = client.join().unwrap();
            assert!(seen.iter().copied().eq(1..=published), "up to the very last");
            assert_eq!(sequence(hub.position().as_str()), published);
        });
    }
}

/// What is sorted there changes meanwhile.
#[test]
fn memory_limit_holds_for_many_topics_during_publishing() {
    const ROOM: usize = 1 << 20;
    let hub = Hub::builder().max_memory(ROOM).build();
    let until = Instant::now() + Duration::from_secs(1);
    thread::scope(|scope| {
        for publisher in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                let names: Vec<_> = (0..5_000).map(|n| format!("topic {n}")).collect();
                for n in (publisher..).step_by(7919) {
                    publish(hub, &names[n % names.len()], "some words of no importance");
                    if n % 64 == 0 && Instant::now() > until {
                        return;
                    }
                }
            });
        }
    });
    // Of each topic 900 bytes with its one event; what others publish while one makes room comes on
    // top.
    assert!(hub.topics().len() < 2 * ROOM / 900, "{}", hub.topics().len());
}
