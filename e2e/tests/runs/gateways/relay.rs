//! A program that hands a stream on: by its bytes and its status, or by its parsed events.

use axum::body::to_bytes;
use axum::extract::State;
use axum::routing::get;
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower_sse::{decode::MessageStream, hub::Hub};

use crate::support::client;
use crate::*;

const EVENT_SOURCE: [(&str, &str); 2] =
    [("accept", "text/event-stream"), ("cache-control", "no-cache")];

/// An upstream: a hub's topic, whose stream has a heartbeat each 50 ms. It refuses at `/full`.
async fn upstream(hub: Hub) -> SocketAddr {
    let subscribe = async |State(hub): State<Hub>, last: Option<LastEventId>| {
        hub.subscribe_to("news").resume(last).response()
    };
    let full = get(async || (StatusCode::SERVICE_UNAVAILABLE, "full"));
    let layer = SseLayer::new().heartbeat(Heartbeat::every(Duration::from_millis(50)));
    let app = Router::new().route("/news", get(subscribe)).route("/full", full);
    serve_axum(app.layer(layer).with_state(hub)).await
}

async fn ask(upstream: SocketAddr, request: Request, prefix: &str) -> Response<Incoming> {
    let path = request.uri().path().strip_prefix(prefix).unwrap();
    let passed = ["accept", "cache-control", "last-event-id"];
    let headers = passed.iter().filter_map(|name| {
        let value = request.headers().get(*name)?;
        Some((*name, value.to_str().unwrap()))
    });
    client::get(upstream, path, &headers.collect::<Vec<_>>()).await
}

/// Two relays without a layer of their own: `/bytes/…` and `/events/…`.
async fn relay(upstream: SocketAddr) -> SocketAddr {
    let bytes = async move |request| ask(upstream, request, "/bytes").await.map(Body::new);
    let events = async move |request| {
        let answer = ask(upstream, request, "/events").await;
        tower_sse::response(MessageStream::new(answer.into_body()).map_ok(Event::from))
    };
    let app = Router::new().route("/bytes/{*path}", get(bytes));
    serve_axum(app.route("/events/{*path}", get(events))).await
}

/// Reads until the stream has this text. Returns all that was read.
async fn read_until(body: &mut Incoming, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        read.push_str(str::from_utf8(&frame).unwrap());
    }
    read
}

#[tokio::test]
async fn relay_of_parsed_events_hides_heartbeats_and_statuses() {
    let hub = Hub::new();
    let relay = relay(upstream(hub.clone()).await).await;
    let open = async |way: &str| {
        client::get(relay, &format!("/{way}/news"), &EVENT_SOURCE).await.into_body()
    };
    let (mut bytes, mut events) = (open("bytes").await, open("events").await);
    hub.publish("news", "one").await.unwrap();
    read_until(&mut bytes, "data: one").await;
    read_until(&mut events, "data: one").await;
    read_until(&mut bytes, "\n:").await;
    hub.publish("news", "two").await.unwrap();
    let read = read_until(&mut events, "data: two").await;
    assert!(!read.contains("\n:"), "{read:?}");

    let last = hub.end("news", "over").await.unwrap().id().to_string();
    let seen = [&EVENT_SOURCE[..], &[("last-event-id", &*last)]].concat();
    for (way, ended, refused) in [("bytes", 204, 503), ("events", 200, 200)] {
        let answer = client::get(relay, &format!("/{way}/news"), &seen).await;
        assert_eq!(answer.status(), ended, "{way}");
        let body = to_bytes(Body::new(answer.into_body()), 1 << 10).await.unwrap();
        assert!(body.is_empty(), "{way}: {body:?}");
        let answer = client::get(relay, &format!("/{way}/full"), &EVENT_SOURCE).await;
        assert_eq!(answer.status(), refused, "{way}");
    }
}
