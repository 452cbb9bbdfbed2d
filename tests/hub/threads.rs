//! What the [model](crate::model) checks, while several threads publish, read and lose events.

use std::{array::from_fn, slice, time::Instant};

use crate::*;

/// The number of threads that publish.
const PUBLISHERS: usize = 4;

/// The number of events for each event of a quiet topic.
const QUIET: usize = 100;

/// Returns the topic of a publisher's event. The first four topics are busy, the others quiet.
const fn topic_of(publisher: usize, n: usize) -> &'static str {
    let busy = TOPICS.len() - 5;
    TOPICS[if n.is_multiple_of(QUIET) {
        busy + (publisher + n / QUIET) % 5
    } else {
        (publisher + n) % busy
    }]
}

/// What a client has received, over one connection or several.
struct History {
    begin: u64,
    messages: Vec<Message>,
    last: LastEventId,
}

impl History {
    fn new(hub: &Hub) -> Self {
        let last = LastEventId::from(hub.position());
        Self { begin: sequence(last.as_str()), messages: Vec::new(), last }
    }

    fn read(&mut self, subscription: Subscription, items: usize) -> bool {
        let mut client = Client::new(subscription);
        for _ in 0..items {
            let Some(messages) = client.next() else { return false };
            self.messages.extend(messages);
            self.last = client.last.clone().expect("an id");
        }
        true
    }

    /// Asserts that each event published to the client's topics since the history began was
    /// received once and in order, or was reported as a gap.
    fn check(&self, topics: &[&str], published: &BTreeMap<u64, &str>) {
        let mut served: BTreeMap<_, _> = topics.iter().map(|topic| (*topic, self.begin)).collect();
        let (mut newest, mut gaps) = (self.begin, BTreeSet::new());
        for Message { event, data: topic, last_event_id, .. } in &self.messages {
            let sequence = sequence(last_event_id);
            let is_gap = event == "gap";
            // All gaps of several topics but the last have the id that the client had.
            assert!(sequence > newest || (is_gap && sequence == newest), "in order, and once");
            newest = sequence;
            let served = served.get_mut(&**topic).expect("its topics only");
            if !is_gap {
                assert_eq!(published.get(&sequence), Some(&&**topic));
                let between = published.range(*served + 1..sequence);
                let missed = between.filter(|(_, of)| *of == topic).count();
                let is_reported = topics.len() > 1 && gaps.remove(&**topic);
                assert!(
                    is_reported || missed == 0,
                    "{missed} events of {topic} are missing before {sequence}"
                );
            } else if topics.len() > 1 {
                gaps.insert(&**topic);
            }
            *served = sequence;
        }
        for (topic, served) in served {
            let missed = published.range(served + 1..).filter(|(_, of)| **of == topic).count();
            assert!(
                missed == 0 || gaps.contains(topic),
                "events of {topic} are missing at the end"
            );
        }
    }
}

/// Publishes to all topics from several threads, closes the hubs, and returns the topic of each
/// event by its sequence number.
fn publish_in_threads(hubs: &[Hub], count: usize) -> BTreeMap<u64, &'static str> {
    let published = thread::scope(|scope| {
        let publishers = from_fn::<_, PUBLISHERS, _>(|publisher| {
            let publish_one = move |n| {
                let topic = topic_of(publisher, n);
                (publish(&hubs[n % hubs.len()], topic, topic), topic)
            };
            scope.spawn(move || (0..count).map(publish_one).collect::<Vec<_>>())
        });
        publishers.map(|publisher| publisher.join().unwrap())
    });
    let published: BTreeMap<_, _> = published.into_iter().flatten().collect();
    assert_eq!(published.len(), PUBLISHERS * count, "no number twice");
    let newest = *published.keys().last().expect("an event");
    // The thread that loses the history can still have events to deliver.
    while hubs.iter().any(|hub| sequence(hub.position().as_str()) < newest) {
        thread::yield_now();
    }
    hubs.iter().for_each(Hub::close);
    published
}

/// Runs clients that connect, read some items, leave, and reconnect to the next hub with their last
/// event id, while threads publish. Checks what each client has received.
fn reconnecting_clients(hubs: &[Hub], of: &[&[&str]], count: usize, is_lossy: bool) {
    thread::scope(|scope| {
        let clients = of.iter().copied().zip(0..).map(|(topics, seed)| {
            let client = move || {
                let mut history = History::new(&hubs[0]);
                let mut random = fastrand::Rng::with_seed(seed);
                for hub in hubs.iter().cycle() {
                    let subscription = hub.subscribe(topics).resume(history.last.clone());
                    if !history.read(subscription, random.usize(..30)) {
                        break;
                    }
                }
                history
            };
            (topics, scope.spawn(client))
        });
        let clients: Vec<_> = clients.collect();
        let published = publish_in_threads(hubs, count);
        for (topics, client) in clients {
            let history = client.join().unwrap();
            history.check(topics, &published);
            let has_gap = history.messages.iter().any(|message| message.event == "gap");
            assert!(is_lossy || !has_gap, "nothing was lost");
        }
    });
    assert!(hubs.iter().all(|hub| hub.stats().subscribers == 0));
}

/// Nine clients wait for the last topic, which is quiet.
const SUBSCRIPTIONS: [&[&str]; 12] = [
    &TOPICS,
    &["a"],
    &["b", "d"],
    &["c", "a", "d"],
    &["i"],
    &["i"],
    &["e", "i"],
    &["i", "h", "g", "f", "e"],
    &["a", "i", "b", "h", "c"],
    &["i", "a", "h", "b", "g", "c", "f"],
    &["d", "i"],
    &["e", "f", "g", "h", "i"],
];

#[test]
fn reconnecting_clients_miss_no_event_during_publishing() {
    let count = 6_000;
    let hub = Hub::builder().retention(Retention::new().events(count).bytes(usize::MAX)).build();
    reconnecting_clients(&[hub], &SUBSCRIPTIONS, count, false);
}

#[test]
fn reconnecting_clients_receive_a_gap_for_all_evicted_events() {
    let hub = Hub::builder().retention(Retention::new().events(3)).build();
    reconnecting_clients(&[hub], &SUBSCRIPTIONS, 6_000, true);
    // Topics go and come back all the time.
    let hub = Hub::builder().max_memory(200).build();
    reconnecting_clients(&[hub], &SUBSCRIPTIONS, 6_000, true);
}

#[test]
fn client_moving_between_hubs_during_losses_receives_each_event_or_a_gap() {
    let (broker, hubs) = connected::<2>();
    thread::scope(|scope| {
        scope.spawn(|| {
            for loss in 1..=30 {
                // The loss comes between events, however fast the machine is.
                while sequence(hubs[0].position().as_str()) < 100 * loss {
                    thread::yield_now();
                }
                broker.lose_history();
            }
        });
        // Most clients have one topic: if a client gets the gaps of several topics, only the last
        // gap has the loss's number.
        let mut of: Vec<_> = TOPICS.iter().map(slice::from_ref).collect();
        of.extend(SUBSCRIPTIONS);
        reconnecting_clients(&hubs, &of, 3_000, true);
    });
}

/// While one thread evicts events, the others change the order in which topics lose theirs.
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
    // A topic with its one event takes about 750 bytes. Events that other threads publish while one
    // thread evicts can exceed the limit.
    assert!(hub.topics().len() < 2 * ROOM / 900, "{}", hub.topics().len());
}
