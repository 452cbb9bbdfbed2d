//! Hubs that share a broker, as those of several processes do, and the history that a late hub
//! loads.

use crate::*;

pub(crate) fn connect(broker: &MemoryBroker) -> Hub {
    connect_with(Hub::builder(), broker)
}

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

// The history that a hub loads when it connects late, and the age of its events.

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
