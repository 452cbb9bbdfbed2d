//! What publishing through a broker returns.

use crate::*;

#[test]
fn refused_event_is_published_nowhere() {
    let (broker, [one, other]) = connected();
    broker.refuse(2);
    for hub in [&one, &other] {
        let refused = hub.publish("a", "refused").now_or_never().unwrap().unwrap_err();
        assert!(matches!(refused, PublishError::Refused(_)));
        assert_eq!(refused.to_string(), "event was not published: refused by the test");
    }
    assert_eq!(publish(&one, "a", "a1"), 1);
    assert_eq!(read(&other, &["a"], id(&other, 0)), ["a1@1"]);
}

#[test]
fn event_without_an_acknowledgement_may_be_published() {
    let (broker, [one, other]) = connected();
    broker.lose_acknowledgements(1);
    let unknown = one.publish("a", "a1").now_or_never().unwrap().unwrap_err();
    assert!(matches!(unknown, PublishError::Unknown(_)));
    assert_eq!(
        unknown.to_string(),
        "broker did not acknowledge the event: acknowledgement lost by the test"
    );
    assert_eq!(publish(&one, "a", "a2"), 2);
    for hub in [&one, &other] {
        assert_eq!(read(hub, &["a"], id(hub, 0)), ["a1@1", "a2@2"]);
    }
}

#[test]
fn events_that_cannot_be_published_do_not_reach_the_broker() {
    let (broker, [hub]) = connected();
    let refused = |event: Event| hub.publish("a", event).now_or_never().unwrap().unwrap_err();
    assert!(matches!(refused(Event::new().comment("no data")), PublishError::NoData));
    assert!(matches!(refused(Event::from("x").id(1)), PublishError::HasId));
    let refused = |event: Event| hub.publish_now("a", event).unwrap_err();
    assert!(matches!(refused(Event::from("x")), PublishError::NotInProcess));
    assert!(matches!(refused(Event::new()), PublishError::NoData));
    assert!(matches!(refused(Event::from("x").id(1)), PublishError::HasId));
    assert_eq!(publish(&connect(&broker), "a", "a1"), 1);
}

#[test]
fn receipt_counts_the_subscriptions_of_its_own_process() {
    let (_, [one, other]) = connected();
    let _clients = [0; 3].map(|_| asleep(&other, &["a", "b"], Waker::noop()));
    let count = |hub: &Hub| hub.publish("a", "x").now_or_never().unwrap().unwrap().subscribers;
    assert_eq!((count(&one), count(&other)), (0, 3));
}

#[test]
fn publish_that_is_dropped_before_its_first_poll_publishes_nothing() {
    let broker = MemoryBroker::new();
    for hub in [connect(&broker), Hub::new()] {
        let mut client = asleep(&hub, &["a"], Waker::noop());
        drop(hub.publish("a", "dropped"));
        assert!(client.read().is_empty());
        assert_eq!(publish(&hub, "a", "x"), 1);
        assert_eq!(client.read(), ["x@1"]);
    }
}

#[test]
fn publish_can_be_spawned() {
    fn assert_send<F: Future + Send>(_: &F) {}
    let hub = Hub::new();
    assert_send(&hub.publish("a", "text"));
    assert_send(&hub.publish(String::from("a"), Event::from("text")));
    assert_send(&hub.publish(&String::from("a"), String::from("text")));
    assert_send(&Hub::connect(MemoryBroker::new()));
}
