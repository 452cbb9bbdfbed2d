use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower_sse::Message;

use crate::*;

#[path = "../../../examples/hyper_raw.rs"]
#[allow(dead_code)]
mod example;

async fn get(
    address: SocketAddr,
    version: Version,
    last_event_id: Option<u32>,
) -> Response<Incoming> {
    get_path(address, version, "/ticks", last_event_id).await
}

async fn get_path(
    address: SocketAddr,
    version: Version,
    path: &str,
    last_event_id: Option<u32>,
) -> Response<Incoming> {
    let mut request = Request::get(format!("http://{address}{path}"));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let protocol = if version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
    let response = protocol.connect(address).await.send(request).await;
    assert_eq!(response.version(), version);
    response
}

fn id(message: &Message) -> u32 {
    assert_eq!(message.event, "tick");
    message.last_event_id.parse().unwrap()
}

fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn the_headers_are_right_over_http_1_and_http_2() {
    let address = start(example::serve).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = get(address, version, None).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(values(headers, "content-type"), ["text/event-stream"]);
        assert_eq!(values(headers, "cache-control"), ["no-cache, no-transform"]);
        assert_eq!(values(headers, "x-accel-buffering"), ["no"]);
        assert_eq!(values(headers, "connection"), [""; 0]);
        assert_eq!(values(headers, "content-length"), [""; 0]);
        // On HTTP/1 hyper adds its own.
        let chunked: &[&str] = if version == Version::HTTP_2 { &[] } else { &["chunked"] };
        assert_eq!(values(headers, "transfer-encoding"), chunked);
    }
}

#[tokio::test]
async fn a_reconnecting_client_gets_the_events_it_missed() {
    let address = start(example::serve).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut events = EventReader::new(get(address, version, None).await);
        let seen = id(&events.next().await.unwrap());
        drop(events);

        // Meanwhile another client receives further events.
        let mut others = EventReader::new(get(address, version, None).await);
        while id(&others.next().await.unwrap()) < seen + 3 {}

        let mut events = EventReader::new(get(address, version, Some(seen)).await);
        for missed in seen + 1..=seen + 4 {
            assert_eq!(id(&events.next().await.unwrap()), missed);
        }
    }
}

#[tokio::test]
async fn another_route_has_a_stream_that_ends() {
    let address = start(example::serve).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = get_path(address, version, "/countdown", None).await;
        assert_eq!(values(response.headers(), "x-accel-buffering"), ["no"]);
        let events = EventReader::new(response).rest().await;
        assert_eq!(events, ["3", "2", "1"].map(Message::new));
    }
}

#[tokio::test]
async fn an_unknown_path_is_answered_without_a_stream() {
    let address = start(example::serve).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = get_path(address, version, "/", None).await;
        assert_eq!(response.status(), 404);
        assert_eq!(values(response.headers(), "content-type"), [""; 0]);
        assert_eq!(values(response.headers(), "content-length"), ["14"]);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "no such route\n");
    }
}

#[tokio::test]
async fn a_client_from_before_a_restart_starts_over() {
    let address = start(example::serve).await;
    let response = get(address, Version::HTTP_11, Some(u32::MAX)).await;
    // Not with the reader's timeout alone, which every heartbeat renews.
    let first = id(&soon(EventReader::new(response).next()).await.unwrap());
    assert!(first < u32::MAX);
}
