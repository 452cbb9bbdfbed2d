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
