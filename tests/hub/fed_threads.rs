//! Threads that publish through two hubs of a broker, while it loses its history now and then.

use crate::*;

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
