//! What the specification of the beacon node API says about `/eth/v1/events`.

use axum::body::Body;
use bytes::Bytes;
use tower_sse::Retention;

use crate::*;

#[path = "../../../examples/beacon_events.rs"]
#[allow(dead_code)]
mod example;

fn app(hub: &Hub) -> Router {
    example::routes(hub.clone()).layer(SseLayer::new())
}

async fn get(app: &Router, query: &str, last: &str) -> http::Response<Body> {
    let request = Request::get(format!("/eth/v1/events?{query}"))
        .header("accept", "text/event-stream")
        .header("cache-control", "no-cache")
        .header("last-event-id", last);
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn open(app: &Router, query: &str, last: &str) -> EventReader<Body> {
    EventReader::new(get(app, query, last).await)
}

async fn publish(app: &Router, topic: &str, slot: u64) {
    let request =
        Request::post(format!("/node/{topic}")).header("content-type", "application/json");
    let data = json!({ "slot": slot.to_string() }).to_string();
    let answer = app.clone().oneshot(request.body(Body::from(data)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// Returns the next bytes of a stream, without heartbeats and the reconnection time.
async fn next_bytes(body: &mut Body) -> Option<Bytes> {
    loop {
        let frame = soon(body.frame()).await?.unwrap().into_data().unwrap();
        if !frame.starts_with(b":") && !frame.starts_with(b"retry:") {
            return Some(frame);
        }
    }
}

/// Returns the id, and asserts that the bytes have nothing else.
fn id_alone(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let id = text.strip_prefix("id: ").and_then(|it| it.strip_suffix("\n\n")).expect("an id alone");
    assert!(!id.contains('\n'), "{text}");
    id.to_owned()
}

#[tokio::test]
async fn events_have_names_of_the_chosen_topics() {
    let app = app(&Hub::new());
    for query in ["topics=head,block", "topics=head&topics=block", "topics=head%2Cblock"] {
        let mut stream = open(&app, query, "").await;
        for (slot, topic) in ["attestation", "head", "chain_reorg", "block"].iter().enumerate() {
            publish(&app, topic, slot as u64).await;
        }
        for (topic, data) in [("head", r#"{"slot":"1"}"#), ("block", r#"{"slot":"3"}"#)] {
            let event = stream.next().await.unwrap();
            assert_eq!((&*event.event, &*event.data), (topic, data), "{query}");
        }
    }
}

#[tokio::test]
async fn unknown_topics_are_refused() {
    let app = app(&Hub::new());
    for (query, message) in [
        ("topics=head,weather_forecast", "Invalid topic: weather_forecast"),
        ("topics=", "Invalid topic: "),
        ("", "no topics"),
    ] {
        let answer = get(&app, query, "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error, json!({ "code": 400, "message": message }));
    }
}

#[tokio::test]
async fn client_that_leaves_before_its_first_event_misses_nothing() {
    let app = app(&Hub::new());
    let mut first = get(&app, "topics=head", "").await.into_body();
    let id = id_alone(&next_bytes(&mut first).await.unwrap());
    drop(first);
    publish(&app, "head", 1).await;
    let mut second = open(&app, "topics=head", &id).await;
    assert_eq!(second.next().await.unwrap().data, r#"{"slot":"1"}"#);
}

/// Some clients store an id alone, and some don't.
#[tokio::test]
async fn gap_ends_the_stream_once_and_without_an_event() {
    for stores_id_alone in [true, false] {
        let app = app(&Hub::builder().retention(Retention::new().events(2)).build());
        publish(&app, "head", 0).await;
        let mut stream = get(&app, "topics=head", "").await.into_body();
        let first = id_alone(&next_bytes(&mut stream).await.unwrap());
        for slot in 1..6 {
            publish(&app, "head", slot).await;
        }
        // The client reads late, when events have been evicted.
        let mut last = first.clone();
        while let Some(bytes) = next_bytes(&mut stream).await {
            if bytes.starts_with(b"id: ") {
                last = if stores_id_alone { id_alone(&bytes) } else { first.clone() };
            } else {
                assert!(bytes.starts_with(b"event: head\n"), "{bytes:?}");
            }
        }
        let mut stream = get(&app, "topics=head", &last).await.into_body();
        publish(&app, "head", 6).await;
        let mut shown = String::new();
        while !shown.contains(r#"{"slot":"6"}"#) {
            let bytes = next_bytes(&mut stream).await.expect("an open stream");
            shown += std::str::from_utf8(&bytes).unwrap();
        }
        let names = shown.lines().filter(|line| line.starts_with("event"));
        assert!(names.into_iter().all(|line| line == "event: head"), "{shown}");
    }
}
