use std::time::Duration;

use axum::{Router, body::Body, response::Response};
use http::{HeaderMap, Request};
use tokio::time::{Instant, advance};
use tower::ServiceExt;
use tower_sse::testing::TestClient;

use crate::*;

#[path = "../../../examples/existing_axum.rs"]
#[allow(dead_code)]
mod example;

const INTERVAL: Duration = Duration::from_secs(15);
const LATE_AT_MOST: Duration = INTERVAL.checked_div(16).unwrap();

async fn request(app: &Router, method: &str, body: &'static str) -> Response {
    let request = Request::builder().method(method).uri("/messages").body(Body::from(body));
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

/// Returns all bytes that are ready in `body`.
fn drain(body: &mut Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match poll_frame(body) {
            Polled::Data(data) => bytes.extend_from_slice(&data),
            Polled::Pending => return bytes,
            other => panic!("{other:?}"),
        }
    }
}

/// Returns what a listener receives in the course of a conversation, step by step.
async fn listen_in(app: &Router) -> Vec<Vec<u8>> {
    let mut body = request(app, "GET", "").await.into_body();
    let mut steps = vec![drain(&mut body)];
    for text in ["hello", "two\nlines", "", "\r\u{feff}: data\n\n"] {
        request(app, "POST", text).await;
        steps.push(drain(&mut body));
        advance(INTERVAL + LATE_AT_MOST).await;
        steps.push(drain(&mut body));
    }
    steps
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_in_silences_and_the_body_is_otherwise_unchanged() {
    let without = listen_in(&example::routes()).await;
    let with = listen_in(&example::app()).await;
    assert_eq!(without[1], b"event: message\ndata: \"hello\"\n\n");
    let (first, conversation) = with.split_first().unwrap();
    assert_eq!(first, b"", "nothing goes before the first event");
    for (step, sent) in conversation.chunks(2).enumerate() {
        assert_eq!(sent[0], without[1 + 2 * step]);
        assert_eq!(without[2 + 2 * step], b"", "axum is silent");
        assert_eq!(sent[1], b":\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_waits_for_its_interval() {
    let mut events = TestClient::new(example::app()).get("/messages").await;
    let mut silent_since = Instant::now();
    for _ in 0..3 {
        assert_eq!(events.next_comment().await, "");
        let silence = silent_since.elapsed();
        assert!((INTERVAL..=INTERVAL + LATE_AT_MOST).contains(&silence), "{silence:?}");
        silent_since = Instant::now();
    }
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    headers
}

#[tokio::test]
async fn the_layer_adds_the_headers_for_proxies() {
    let without = sorted(request(&example::routes(), "GET", "").await.headers());
    let with = sorted(request(&example::app(), "GET", "").await.headers());
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(
        without,
        pairs(&[("cache-control", "no-cache"), ("content-type", "text/event-stream")])
    );
    assert_eq!(
        with,
        pairs(&[
            ("cache-control", "no-cache, no-transform"),
            ("content-type", "text/event-stream"),
            ("x-accel-buffering", "no"),
        ])
    );
}

#[tokio::test]
async fn other_responses_are_unchanged() {
    for (method, body) in [("POST", "hello"), ("DELETE", "")] {
        let without = request(&example::routes(), method, body).await;
        let with = request(&example::app(), method, body).await;
        assert_eq!(with.status(), without.status());
        assert_eq!(sorted(with.headers()), sorted(without.headers()));
    }
}

#[tokio::test]
async fn messages_reach_listeners_over_a_socket() {
    let address = serve_axum(example::app()).await;
    let mut events = EventReader::new(client::get(address, "/messages", &[]).await);
    let mut say = client::connect_h1(address).await;
    for text in ["one", "two"] {
        let body = http_body_util::Full::from(text);
        let request = Request::post("/messages").header("host", "localhost").body(body).unwrap();
        assert_eq!(soon(say.send_request(request)).await.unwrap().status(), 204);
        assert_eq!(events.next().await.unwrap().data, format!("{text:?}"));
    }
}
