//! The history that a hub receives from its broker late, and the age of its events.

use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn hub_that_connects_later_has_the_history() {
    let (broker, [early]) = connected();
    publish_all(&early, ["a1", "b2", "a3"]);
    let late = connect(&broker);
    assert_eq!(late.position(), early.position());
    assert_eq!(read(&late, &["a", "b"], id(&late, 1)), ["b2@2", "a3@3"]);
    let mut first_visit = Client::new(late.subscribe(["a", "b"]).recent(2).resume(None));
    assert_eq!(first_visit.read(), ["b2@2", "a3@3"]);
    publish(&early, "b", "b4");
    assert_eq!(first_visit.read(), ["b4@4"]);
}

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
