//! Hubs of several processes that share a broker.

use crate::*;

/// Connects a hub. A broker in memory never waits.
pub(crate) fn connect(broker: &MemoryBroker) -> Hub {
    connect_with(Hub::builder(), broker)
}

/// Connects hubs to a new broker.
pub(crate) fn connected<const N: usize>() -> (MemoryBroker, [Hub; N]) {
    let broker = MemoryBroker::new();
    let hubs = std::array::from_fn(|_| connect(&broker));
    (broker, hubs)
}

pub(crate) fn connect_with(builder: HubBuilder, broker: &MemoryBroker) -> Hub {
    builder.connect(broker.clone()).now_or_never().unwrap().unwrap()
}

#[test]
fn event_from_another_hub_wakes_each_waiting_subscriber_once() {
    let (_, hubs) = connected::<2>();
    let (woken, waker) = Wakes::new();
    let mut clients = [0; 20].map(|_| asleep(&hubs[0], &["a", "b"], &waker));
    publish(&hubs[1], "b", "b1");
    assert_eq!(woken.get(), clients.len());
    assert!(clients.iter_mut().all(|client| client.read() == ["b1@1"]));
}

#[test]
fn id_that_a_hub_has_not_received_yet_is_honoured() {
    let (broker, [ahead, behind]) = connected();
    publish_all(&ahead, ["a1", "b2"]);
    broker.pause(&behind);
    publish_all(&ahead, ["a3", "b4"]);
    // Publishing through it is no reason to receive sooner.
    publish_all(&behind, ["b5", "a6"]);
    assert_eq!(sequence(ahead.position().as_str()), 6);
    assert_eq!(sequence(behind.position().as_str()), 2);

    let resume = |seen| asleep_after(&behind, &["a", "b"], seen);
    let mut clients = [3, 4, 6].map(resume);
    let mut of_one_topic = asleep_after(&behind, &["a"], 4);
    broker.resume(&behind);
    let read = clients.each_mut().map(Client::read);
    assert_eq!(read, [vec!["b4@4", "b5@5", "a6@6"], vec!["b5@5", "a6@6"], vec![]]);
    assert_eq!(of_one_topic.read(), ["a6@6"]);
    publish(&ahead, "a", "a7");
    assert!(clients.iter_mut().all(|client| client.read() == ["a7@7"]));
}

fn asleep_after(hub: &Hub, topics: &[&str], seen: u64) -> Client {
    let mut client = resumed(hub, topics, seen);
    assert!(client.poll().is_pending(), "after {seen}");
    client
}

#[test]
fn id_that_the_broker_has_not_assigned_is_malformed() {
    let (broker, [ahead, behind]) = connected();
    publish_all(&ahead, ["a1"]);
    broker.pause(&behind);
    publish_all(&ahead, ["a2", "a3"]);
    for unassigned in [4, 5, u64::MAX] {
        assert_eq!(read(&ahead, &["a"], id(&ahead, unassigned)), ["gap a@3"], "{unassigned}");
        assert_eq!(read(&behind, &["a"], id(&behind, unassigned)), ["gap a@1"], "{unassigned}");
    }
}

#[test]
fn subscription_outlives_the_clones_of_its_hub() {
    let (_, [one, other]) = connected();
    let mut client = asleep(&one, &["a"], Waker::noop());
    drop(one);
    publish(&other, "a", "a1");
    assert_eq!(client.read(), ["a1@1"]);
}

#[test]
fn pausing_a_hub_of_another_broker_panics() {
    let hub = connect(&MemoryBroker::new());
    let broker = MemoryBroker::new();
    let pause = std::panic::AssertUnwindSafe(|| broker.pause(&hub));
    assert!(std::panic::catch_unwind(pause).is_err());
    assert_eq!(publish(&connect(&broker), "a", "a1"), 1, "the broker is still of use");
}

#[test]
fn waker_can_publish_and_resume_in_another_hub() {
    without_deadlock(|| {
        let (_, hubs) = connected::<2>();
        let inner = hubs.clone();
        let woken = AtomicUsize::new(0);
        let waker = Waker::from(Arc::new(Run(move || {
            if woken.fetch_add(1, SeqCst) == 0 {
                publish(&inner[0], "a", "again");
                drop(inner[1].subscribe(["a", "new"]).resume(id(&inner[0], 2)));
            }
        })));
        let mut client = asleep(&hubs[0], &["a"], &waker);
        publish(&hubs[1], "a", "first");
        assert_eq!(client.read(), ["first@1", "again@2"]);
        assert_eq!(read(&hubs[1], &["a"], id(&hubs[1], 0)), ["first@1", "again@2"]);
    });
}

// The history that a hub receives from its broker late, and the age of its events.

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn events_of_the_history_keep_their_age() {
    let broker = MemoryBroker::new();
    let builder = || Hub::builder().retention(Retention::new().age(10 * MINUTE));
    let early = connect_with(builder(), &broker);
    publish(&early, "a", "a1");
    advance(4 * MINUTE).await;
    publish_all(&early, ["a2", "b3"]);
    advance(6 * MINUTE).await;
    let late = connect_with(builder(), &broker);
    for hub in [&early, &late] {
        assert_eq!(read(hub, &["a", "b"], id(hub, 0)), ["a1@1", "a2@2", "b3@3"]);
    }
    advance(Duration::from_millis(1)).await;
    for hub in [&early, &late] {
        assert_eq!(read(hub, &["a", "b"], id(hub, 0)), ["gap a@1", "a2@2", "b3@3"]);
    }
    advance(4 * MINUTE).await;
    for hub in [&early, &late] {
        assert_eq!(read(hub, &["a"], id(hub, 1)), ["gap a@2"]);
        publish(hub, "c", "c");
        assert_eq!(hub.topics().len(), 1, "the topics of old events are removed");
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_events_above_the_maximum_age_are_evicted_at_once() {
    let broker = MemoryBroker::new();
    let hub = connect_with(Hub::builder().retention(Retention::new().age(MINUTE)), &broker);
    broker.pause(&hub);
    publish_all(&hub, ["a1", "b2", "c3"]);
    advance(MINUTE + Duration::from_millis(1)).await;
    publish_all(&hub, ["d4"]);
    broker.resume(&hub);
    assert_eq!((hub.stats().events, hub.stats().evicted), (1, 3));
    assert_eq!(hub.topics(), [Arc::from("d")]);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["gap a@1"]);
}

#[tokio::test(start_paused = true)]
async fn events_above_the_maximum_age_are_not_loaded_and_reported_as_lost() {
    let (broker, [early]) = connected();
    publish_all(&early, ["a1", "b2"]);
    advance(2 * MINUTE).await;
    publish_all(&early, ["a3", "b4"]);
    let short = connect_with(Hub::builder().retention(Retention::new().age(MINUTE)), &broker);
    assert_eq!(short.stats().events, 2);
    let topics = ["a", "b", "c"];
    let lost = ["gap a@0", "gap b@0", "gap c@2"];
    assert_eq!(read(&short, &topics, id(&short, 0)), [&lost[..], &["a3@3", "b4@4"]].concat());
    assert_eq!(read(&short, &topics, id(&short, 2)), ["a3@3", "b4@4"]);
}

// Threads that publish through two hubs of a broker, while it loses its history now and then.

const EVENTS: usize = 3_000;
const LOSSES: usize = 30;

/// Receives everything up to the event `end`, in turn from each hub. Returns the sequence numbers,
/// and whether each is that of a gap.
fn receive(hubs: &[Hub], end: &str) -> Vec<(u64, bool)> {
    let mut received = Vec::new();
    let mut last = id(&hubs[0], 0);
    for connection in 0.. {
        let hub = &hubs[connection % hubs.len()];
        let mut client = Client::new(hub.subscribe_to("a").resume(last.clone()));
        // A few items from each.
        for _ in 0..1 + connection % 4 {
            for message in client.next().unwrap() {
                received.push((sequence(&message.last_event_id), message.event == "gap"));
                last = last_id(&message.last_event_id);
                if message.data == *end {
                    return received;
                }
            }
        }
    }
    received
}

#[test]
fn client_moving_between_hubs_during_losses_receives_each_event_or_a_gap() {
    let (broker, hubs) = connected::<2>();
    let (received, published) = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| receive(&hubs, "end")));
        let publishers = hubs.each_ref().map(|hub| {
            scope.spawn(move || (0..EVENTS).map(|_| publish(hub, "a", "x")).collect::<Vec<_>>())
        });
        let loses = scope.spawn(|| {
            for _ in 0..LOSSES {
                // Between some events, on any machine.
                (0..EVENTS / LOSSES / 2).for_each(|_| _ = publish(&hubs[0], "other", "x"));
                broker.lose_history();
            }
        });
        loses.join().unwrap();
        let published = publishers.map(|publisher| publisher.join().unwrap()).concat();
        publish(&hubs[0], "a", "end");
        (readers.map(|reader| reader.join().unwrap()), published)
    });
    for received in received {
        assert!(received.is_sorted_by(|one, other| one.0 < other.0), "in order, each once");
        for number in &published {
            let next = received.partition_point(|(received, _)| received < number);
            let (next, next_is_gap) = received[next];
            assert!(next == *number || next_is_gap, "{number} is missing, and {next} is no gap");
        }
    }
}
