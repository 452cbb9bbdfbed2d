//! Subscriptions as decoded messages, for consumers in the process.

use crate::*;

#[test]
fn messages_are_decoded_one_by_one() {
    let hub = Hub::builder().retention(Retention::new().events(3)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "a5"]);
    let large = "x".repeat(2 << 20);
    end(&hub, "b", Event::new().event("large").data(large.clone()));
    let mut messages = hub.subscribe(["a", "b"]).resume(id(&hub, 0)).messages();
    let mut next = || messages.next().now_or_never().map(Option::unwrap);
    let received: Vec<_> = iter::from_fn(&mut next).take(5).map(|m| describe(&m)).collect();
    assert_eq!(received, ["gap a@1", "gap b@2", "a3@3", "a4@4", "a5@5"]);
    let last = next().unwrap();
    assert_eq!((&*last.event, last.data.len()), ("large", large.len()));
    assert_eq!(next(), None);
    end(&hub, "a", Event::from("a7"));
    assert_eq!(messages.next().now_or_never().unwrap().unwrap().data, "a7");
    assert_eq!(messages.next().now_or_never(), Some(None));
}
