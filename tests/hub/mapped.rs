//! Subscriptions whose events are changed or dropped for one client.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::time::advance;
use tower_sse::{
    BoxError, Encoded, Event, Heartbeat, LastEventId, Message, SseLayer,
    hub::{GapPolicy, Hub, Retention, Subscription},
    testing::MemoryBroker,
};

use crate::*;

const SECOND: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a client gets of the events whose data has an even digit.
#[allow(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn even(message: Message) -> Option<Event> {
    let number: u64 = message.data[1..].parse().unwrap();
    let is_even = number.is_multiple_of(2);
    is_even.then(|| Event::new().event("even").id("of no use").data(format!("{}!", message.data)))
}

/// Returns the text of what there is now.
fn text(stream: &mut (impl futures_util::Stream<Item = Encoded> + Unpin)) -> String {
    let mut text = String::new();
    while let Some(Some(item)) = stream.next().now_or_never() {
        text.push_str(std::str::from_utf8(item.as_bytes()).unwrap());
    }
    text
}

/// Replaces the epoch of the hub.
fn plain(hub: &Hub, text: &str) -> String {
    let position = hub.position();
    let epoch = position.as_str().split_once('-').unwrap().0;
    text.replace(epoch, "e")
}

#[test]
fn events_are_changed_and_dropped_and_keep_their_ids() {
    let hub = Hub::new();
    publish_all(&hub, ["a1", "a2", "b3", "a4"]);
    let mut mapped = hub.subscribe(["a", "b"]).resume(id(&hub, 0)).map_messages(even);
    let expected = "id: e-2\nevent: even\ndata: a2!\n\nid: e-4\nevent: even\ndata: a4!\n\n";
    let sorted = |text: &str| {
        let events: Vec<_> = text
            .split("\n\n")
            .map(|event| {
                let mut lines: Vec<_> = event.lines().collect();
                lines.sort_unstable();
                lines.join("\n")
            })
            .collect();
        events.join("\n\n")
    };
    assert_eq!(sorted(&plain(&hub, &text(&mut mapped))), sorted(expected));
    publish_all(&hub, ["b5"]);
    assert_eq!(text(&mut mapped), "");
    publish_all(&hub, ["b6"]);
    assert!(text(&mut mapped).contains("data: b6!\n"));
}

/// They say what the client must know, whatever it may see.
#[test]
fn gaps_and_the_greeting_pass() {
    let hub = Hub::builder().retention(Retention::new().events(1)).build();
    publish_all(&hub, ["a1", "a2", "a3"]);
    let nothing = |_: Message| -> Option<Event> { panic!("it is not asked") };
    let greeted = hub.subscribe(["a"]).greeting(Event::from("hello")).resume(None);
    assert!(text(&mut greeted.map_messages(nothing)).contains("data: hello\n"));
    let resumed = hub.subscribe(["a"]).resume(id(&hub, 0)).map_messages(|_| None);
    let gap = plain(&hub, &text(&mut { resumed }));
    assert!(gap.contains("event: gap\n") && gap.contains("id: e-2\n"), "{gap}");
}

#[test]
fn client_of_a_topic_that_ends_has_the_id_of_its_end() {
    let hub = Hub::new();
    let mut mapped = hub.subscribe(["a"]).resume(None).map_messages(even);
    publish_all(&hub, ["a1"]);
    hub.end_now("a", Event::from("a3")).unwrap();
    assert_eq!(plain(&hub, &text(&mut mapped)), "id: e-2\n\n");
    assert!(mapped.next().now_or_never().unwrap().is_none());
    assert!(hub.subscribe(["a"]).resume(hub.position()).map_messages(even).has_ended());
}

/// Returns a body behind a layer that sends heartbeats.
fn served<F>(
    subscription: Subscription,
    map: F,
) -> impl http_body::Body<Data = bytes::Bytes, Error = BoxError> + Unpin
where
    F: FnMut(Message) -> Option<Event> + Unpin,
{
    let layer = SseLayer::new().heartbeat(Heartbeat::every(HEARTBEAT));
    let response = subscription.map_messages(map).response();
    answer_to(Requester::Fetch.request("/"), &layer, response).into_body()
}

/// Returns what a body sends now.
fn sent<B>(body: &mut B) -> String
where
    B: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Unpin,
{
    let mut sent = Vec::new();
    while let Polled::Data(data) = poll_frame(body) {
        sent.extend_from_slice(&data);
    }
    String::from_utf8(sent).unwrap()
}

#[tokio::test(start_paused = true)]
async fn position_of_dropped_events_comes_with_the_next_heartbeat() {
    let hub = Hub::new();
    let mut body = served(hub.subscribe(["a"]).resume(None), even);
    assert_eq!(sent(&mut body), "");
    publish_all(&hub, ["a1", "a3"]);
    assert_eq!(sent(&mut body), "", "it is worth no packet of its own");
    advance(HEARTBEAT * 17 / 16 + SECOND).await;
    assert_eq!(plain(&hub, &sent(&mut body)), ":\nid: e-2\n\n");
    advance(HEARTBEAT * 17 / 16 + SECOND).await;
    assert_eq!(sent(&mut body), ":\n", "once");
    publish_all(&hub, ["a5", "a2"]);
    assert!(sent(&mut body).contains("data: a2!"));
    advance(HEARTBEAT * 17 / 16 + SECOND).await;
    assert_eq!(sent(&mut body), ":\n", "the client has a later id");
}

/// All events are dropped for longer than they are kept.
#[tokio::test(start_paused = true)]
async fn quiet_client_gets_no_false_gap() {
    let hub = Hub::builder().retention(Retention::new().age(40 * SECOND)).build();
    let mut body = served(hub.subscribe(["a"]).resume(None), |_| None);
    let mut last = String::new();
    for _ in 0..100 {
        publish_all(&hub, ["a1"]);
        advance(SECOND).await;
        let sent = sent(&mut body);
        let mut ids = sent.lines().filter_map(|line| line.strip_prefix("id: "));
        last = ids.next_back().map_or(last, str::to_owned);
    }
    drop(body);
    let last = LastEventId::try_from(last).unwrap();
    let newest = sequence(hub.position().as_str());
    let age = newest - sequence(last.as_str());
    assert!(age <= 17, "{age} events ago");
    let gaps = read(&hub, &["a"], last);
    assert!(gaps.iter().all(|event| !event.starts_with("gap")), "{gaps:?}");
}

/// An event of the same turn is sent before.
#[tokio::test]
async fn panic_ends_the_stream_as_one_of_its_source_does() {
    let hub = Hub::new();
    publish_all(&hub, ["a2", "a3", "a4"]);
    let fails = |message: Message| {
        assert_ne!(message.data, "a3", "as planned");
        even(message)
    };
    let mut body = served(hub.subscribe(["a"]).resume(id(&hub, 0)), fails);
    let Polled::Data(first) = poll_frame(&mut body) else { panic!("no frame") };
    assert!(String::from_utf8_lossy(&first).contains("a2!"));
    let next = std::panic::catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body)));
    assert!(next.is_err());
    drop(body);
    assert_eq!(hub.subscriber_count("a"), 0);
}

/// A loss is a gap for all, also for a client that sees no event.
#[tokio::test]
async fn loss_passes() {
    let broker = MemoryBroker::new();
    let hub = Hub::connect(broker.clone()).await.unwrap();
    hub.publish("a", "a1").await.unwrap();
    let subscribe = |policy| hub.subscribe(["a"]).gap_policy(policy).resume(id(&hub, 1));
    let mut mapped = subscribe(GapPolicy::Report).map_messages(|_| None);
    assert_eq!(text(&mut mapped), "");
    broker.lose_history();
    assert!(text(&mut mapped).contains("event: gap\n"));
}
