//! What a subscription sends first: greetings, the gaps of a malformed id and recent events.

use std::sync::OnceLock;

use tower_sse::hub::Subscribe;

use crate::*;

#[test]
fn greeted_client_that_leaves_before_the_first_event_misses_none() {
    let hub = hub();
    let greeting = || Event::new().event("connected").data("hello").id("of no use");
    let subscribe = || hub.subscribe(["a", "b"]).greeting(greeting());
    let mut client = Client::new(subscribe().resume(None));
    assert_eq!(client.read(), ["hello@5"]);
    publish_all(&hub, ["b6", "a7"]);
    let mut again = Client::new(subscribe().resume(client.last_event_id()));
    assert_eq!(again.read(), ["b6@6", "a7@7"], "it is greeted once");
    let mut with_recent = Client::new(subscribe().recent(2).resume(None));
    assert_eq!(with_recent.read_one(), ["hello@5"]);
    assert_eq!(with_recent.read(), ["b6@6", "a7@7"]);
    let items = Client::new(subscribe().resume(foreign())).read();
    assert!(items.iter().all(|item| !item.starts_with("hello")), "{items:?}");
}

#[test]
fn malformed_id_is_greeted_after_the_gaps() {
    let hub = hub();
    let greeting = || Event::new().event("connected").data("hello");
    let subscribe = || hub.subscribe(["a", "b"]).greeting(greeting());
    for garbage in malformed(&hub) {
        let begin = |subscribe: Subscribe| Client::new(subscribe.resume(garbage.clone()));
        assert_eq!(begin(subscribe()).read(), ["gap a@0", "gap b@0", "hello@5"], "{garbage}");
        let recent = ["gap a@0", "gap b@0", "hello@3", "a4@4", "b5@5"];
        assert_eq!(begin(subscribe().recent(2)).read(), recent, "{garbage}");
        let mut quiet = begin(subscribe().gap_policy(GapPolicy::Ignore));
        assert_eq!(quiet.read(), ["hello@5"], "{garbage}");
        let mut ends = begin(subscribe().gap_policy(GapPolicy::ReportAndEnd));
        let _case = case(&garbage);
        ends.assert_ends_with(&["gap a@0", "gap b@5"]);
    }
}

/// The oldest of `a` are lost, and older events of `b` are kept.
pub(crate) fn hub_with_eviction_between() -> Hub {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "b5", "a6"]);
    hub
}

/// As `resume` says. A client cannot have two ids, one for each topic.
#[test]
fn leaving_mid_recent_events_can_cause_a_spurious_gap() {
    let hub = hub_with_eviction_between();
    let mut first = Client::new(hub.subscribe(["a", "b"]).recent(4).resume(None));
    assert_eq!(first.read_one(), ["b2@2"]);
    let rest = ["gap a@3", "a4@4", "b5@5", "a6@6"];
    assert_eq!(read(&hub, &["a", "b"], first.last_event_id().unwrap()), rest);
    assert_eq!(first.read(), rest[1..]);
}

/// As `resume` says. All gaps come before the events, and the id of the last is below the evicted
/// events of `a`.
#[test]
fn leaving_before_recent_events_can_repeat_a_gap_of_a_malformed_id() {
    let hub = hub_with_eviction_between();
    let last = last_id("?");
    let mut first = Client::new(hub.subscribe(["a", "b"]).recent(4).resume(last));
    assert_eq!(first.read_one(), ["gap a@0", "gap b@1"]);
    let again = ["b2@2", "gap a@3", "a4@4", "b5@5", "a6@6"];
    assert_eq!(read(&hub, &["a", "b"], first.last_event_id().unwrap()), again);
    assert_eq!(first.read(), ["b2@2", "a4@4", "b5@5", "a6@6"]);
}

/// The hub creates the second topic while the subscription starts, and calls back.
#[test]
fn counted_subscription_receives_all_later_events() {
    for topics in [&["a", "b"][..], &["a", "c", "b"]] {
        let own = Arc::new(OnceLock::<Hub>::new());
        let given = Arc::clone(&own);
        let hub = Hub::builder()
            .retention_of(move |topic| {
                let hub = given.get()?;
                if topic == "b" {
                    let receipt = hub.publish_now("a", Event::from("a1")).unwrap();
                    assert_eq!(receipt.subscribers, 1);
                }
                None
            })
            .build();
        own.set(hub.clone()).unwrap();
        let mut client = Client::new(hub.subscribe(topics).resume(None));
        assert_eq!(client.read(), ["a1@1"]);
    }
}
