//! What publishing returns, through a broker and without one.

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
fn rejected_event_takes_no_sequence_number() {
    let (_, [fed]) = connected();
    let refused = fed.publish_now("a", Event::from("x"));
    assert!(matches!(refused, Err(PublishError::NotInProcess)));
    for hub in [fed, Hub::new()] {
        for event in [Event::new().event("name").comment("no data"), Event::from("x").id(7)] {
            let publish = hub.publish("a", event.clone()).now_or_never().unwrap();
            for refused in [publish, hub.publish_now("a", event)] {
                assert!(matches!(refused, Err(PublishError::NoData | PublishError::HasId)));
            }
        }
        assert_eq!(publish(&hub, "a", ""), 1);
        hub.close();
        let refused = hub.publish("a", "x").now_or_never().unwrap();
        assert!(matches!(refused, Err(PublishError::Closed)));
        assert_eq!(sequence(hub.position().as_str()), 1);
    }
}

#[test]
fn event_above_a_mebibyte_is_too_large_for_every_hub() {
    let (_, [fed]) = connected();
    for hub in [fed, Hub::new()] {
        let large = || Event::from("x".repeat((1 << 20) + 1));
        let published = hub.publish("a", large()).now_or_never().unwrap();
        let ended = hub.end("a", large()).now_or_never().unwrap();
        for refused in [published, ended, hub.publish_now("a", large())] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, PublishError::TooLarge(_)));
            let text = "event is too large: data has 1048577 bytes, more than 1048576";
            assert_eq!(refused.to_string(), text);
        }
        assert_eq!(publish(&hub, "a", &"x".repeat(1 << 20)), 1);
    }
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
