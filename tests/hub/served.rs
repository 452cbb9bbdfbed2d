//! The hub through the layer, with and without a socket, and as decoded messages. In axum, a
//! subscription is a response.
#![cfg(feature = "axum")]

use axum::{Router, extract::Path, routing::get};
use hyper::body::Incoming;

use super::support::client;
use crate::*;

/// Serves the events of the topics that the path names, for example of `a` and `b` at `/a,b`.
async fn serve(hub: &Hub) -> SocketAddr {
    let hub = hub.clone();
    let events = async move |Path(topics): Path<String>, last: Option<LastEventId>| {
        hub.subscribe(topics.split(',')).recent(2).resume(last)
    };
    serve_axum(Router::new().route("/{topics}", get(events)).layer(SseLayer::new())).await
}

async fn open(address: SocketAddr, path: &str, last: Option<&str>) -> EventReader<Incoming> {
    let header = last.map(|last| ("last-event-id", last));
    EventReader::new(client::get(address, path, header.as_slice()).await)
}

/// The stalled client reads again after the others have read everything.
#[tokio::test]
async fn stalled_client_delays_no_other_and_receives_a_gap() {
    const EVENTS: u64 = 400;
    let hub = Hub::builder().retention(Retention::new().events(4)).build();
    let address = serve(&hub).await;
    let mut stalled = open(address, "/a", None).await;
    let mut others = [open(address, "/a", None).await, open(address, "/a", None).await];
    // All events together are more than sockets buffer.
    let large = "x".repeat(64 * 1024);
    for number in 1..=EVENTS {
        assert_eq!(publish(&hub, "a", &large), number);
        for other in &mut others {
            let message = other.next().await.unwrap();
            assert_eq!((&*message.event, sequence(&message.last_event_id)), ("message", number));
        }
    }
    hub.close();
    let mut newest = 0;
    let mut gaps = 0;
    while let Some(Message { event, last_event_id, .. }) = stalled.next().await {
        let number = sequence(&last_event_id);
        if event == "gap" {
            gaps += 1;
            assert!(number > newest);
        } else {
            assert_eq!(number, newest + 1);
        }
        newest = number;
    }
    assert_eq!((gaps, newest), (1, EVENTS));
}

#[tokio::test]
async fn event_source_that_has_everything_of_an_ended_topic_receives_204() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    publish_all(&hub, ["a1", "b2"]);
    let last = hub.end("a", Event::from("a3")).await.unwrap().id();
    let get = async |path: &'static str, last: &str| {
        let event_source = [("accept", "text/event-stream"), ("cache-control", "no-cache")];
        let headers = [&event_source[..], &[("last-event-id", last)]].concat();
        client::get(address, path, &headers).await
    };
    let done = get("/a", last.as_str()).await;
    assert_eq!(done.status(), 204);
    assert_eq!(done.headers()["cache-control"], "no-store");
    assert!(!done.headers().contains_key("content-type"));
    assert_eq!(done.into_body().collect().await.unwrap().to_bytes(), "");

    let missing = get("/a", id(&hub, 2).as_str()).await;
    assert_eq!(missing.status(), 200);
    let mut reader = EventReader::new(missing);
    assert_eq!(describe(&reader.next().await.unwrap()), "a3@3");
    assert!(reader.next().await.is_none());

    assert_eq!(get("/a,b", last.as_str()).await.status(), 200, "one topic goes on");
    assert_eq!(get("/new", last.as_str()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn only_the_response_of_an_ended_subscription_is_204() {
    let hub = Hub::new();
    end(&hub, "a", Event::from("a1"));
    let ended = || hub.subscribe(["a"]).resume(hub.position());
    assert!(ended().has_ended());
    let answer_of = |client: Requester, answer: Response<EventBody<Subscription>>| {
        answer_to(client.request("/"), &SseLayer::new(), answer).status()
    };
    let answer = |answer| answer_of(Requester::EventSource, answer);
    for client in Requester::ALL {
        let stops = matches!(client, Requester::EventSource | Requester::Library);
        let expected = if stops { 204 } else { 200 };
        assert_eq!(answer_of(client, ended().response()), expected, "{client:?}");
    }
    assert_eq!(answer(tower_sse::response(ended())), 200, "it is any stream");
    let filtered =
        ended().response().map(|body| FilterBody::new(body, filter::from_fn(|_| Verdict::Pass)));
    let request = Requester::EventSource.request("/");
    assert_eq!(answer_to(request, &SseLayer::new(), filtered).status(), 204);
    for client in [Requester::Get, Requester::Post] {
        let other = answer_to(client.request("/"), &SseLayer::new(), ended().response());
        let mut body = other.into_body();
        assert_eq!(poll_frame(&mut body), Polled::Pending, "{client:?}");
        advance(SECOND).await;
        assert_eq!(poll_frame(&mut body), Polled::End, "{client:?}");
        assert!(body.is_end_stream());
    }

    let greeted = || hub.subscribe(["a"]).greeting(Event::from("hello")).resume(None);
    let without_topics = || hub.subscribe([""; 0]).resume(None);
    for open in [greeted(), without_topics()] {
        assert!(!open.has_ended());
        assert_eq!(answer(open.response()), 200);
    }
    hub.close();
    assert_eq!(answer(hub.subscribe(["b"]).resume(None).response()), 200, "a closed hub is no end");
}

// Subscriptions as decoded messages, for consumers in the process.

#[test]
fn messages_are_decoded_one_by_one() {
    let hub = Hub::builder().retention(Retention::new().events(3)).build();
    publish_all(&hub, ["a1", "b2", "a3", "a4", "a5"]);
    let large = "x".repeat(1 << 20);
    end(&hub, "b", Event::new().event("large").data(large.clone()));
    let mut messages = hub.subscribe(["a", "b"]).resume(id(&hub, 0)).messages();
    let mut next = || messages.next().now_or_never().map(Option::unwrap);
    for (topic, position) in [("a", 0), ("b", 2)] {
        let gap = next().unwrap().unwrap_err();
        assert_eq!((gap.topic(), sequence(gap.last_event_id())), (topic, position));
        assert!(gap.to_string().contains(topic));
    }
    let received: Vec<_> =
        iter::from_fn(&mut next).take(3).map(|m| describe(&m.unwrap())).collect();
    assert_eq!(received, ["a3@3", "a4@4", "a5@5"]);
    let last = next().unwrap().unwrap();
    assert_eq!((&*last.event, last.data.len()), ("large", large.len()));
    assert_eq!(next(), None);
    end(&hub, "a", Event::from("a7"));
    assert_eq!(messages.next().now_or_never().unwrap().unwrap().unwrap().data, "a7");
    assert_eq!(messages.next().now_or_never(), Some(None));
}
