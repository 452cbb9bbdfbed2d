//! An upstream that breaks off, is silent or is gone, while the client's stream stays open.

use std::{net::SocketAddr, time::Duration};

use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_sse::SseLayer;

use super::{Upstream, example, serve};
use crate::*;

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const MILLISECOND: Duration = Duration::from_millis(1);

async fn serve_proxy(silence: Duration) -> (Upstream, SocketAddr) {
    let (upstream, authority) = Upstream::new().await;
    let patience = example::Patience { silence, delays: (MILLISECOND, 20 * MILLISECOND) };
    let app = example::forwarding(authority, patience).layer(SseLayer::new());
    (upstream, serve(app).await)
}

/// Opens a stream as an `EventSource` does. Returns it and the upstream's connection.
async fn open(
    upstream: &Upstream,
    address: SocketAddr,
    first: &str,
) -> (EventReader<Incoming>, TcpStream) {
    let accept = [("accept", "text/event-stream")];
    let answer = format!("{STREAM}{first}");
    let (response, (connection, request)) = tokio::join!(
        client::get(address, "/news?topic=a", &accept),
        upstream.answer("\r\n\r\n", &answer)
    );
    assert!(!request.contains("last-event-id"), "{request}");
    (EventReader::new(response), connection)
}

/// Awaits the proxy's next attempt, answers it, and returns the upstream's connection.
async fn reconnected(upstream: &Upstream, last: &str, answer: &str) -> TcpStream {
    let (connection, request) = upstream.answer("\r\n\r\n", answer).await;
    assert!(request.starts_with("GET /news?topic=a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("last-event-id: {last}\r\n")), "{request}");
    connection
}

#[tokio::test]
async fn client_notices_nothing_of_an_upstream_that_is_cut() {
    let (upstream, address) = serve_proxy(Duration::MAX).await;
    let (mut events, connection) = open(&upstream, address, "id: 7\ndata: one\n\nda").await;
    let one = events.next().await.unwrap();
    assert_eq!((&*one.data, &*one.last_event_id), ("one", "7"));
    drop(connection);
    for unavailable in ["503 Service Unavailable", "502 Bad Gateway"] {
        let answer = format!("HTTP/1.1 {unavailable}\r\ncontent-length: 0\r\n\r\n");
        drop(reconnected(&upstream, "7", &answer).await);
    }
    let again = format!("{STREAM}retry: 3\nevent: tick\ndata: two\n\nid: ü\ndata: three\n\n");
    let connection = reconnected(&upstream, "7", &again).await;
    let two = events.next().await.unwrap();
    assert_eq!((&*two.event, &*two.data, &*two.last_event_id), ("tick", "two", "7"));
    assert_eq!(events.next().await.unwrap().data, "three");
    drop(connection);
    // An answer that ends cleanly is no reason to end the client's stream either.
    let clean = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 0\r\n\r\n";
    drop(reconnected(&upstream, "ü", clean).await);
    let mut connection = reconnected(&upstream, "ü", STREAM).await;
    connection.write_all(b"data: four\n\n").await.unwrap();
    let four = events.next().await.unwrap();
    assert_eq!((&*four.data, &*four.last_event_id), ("four", "ü"));
    drop(events);
    assert_eq!(soon(connection.read(&mut [0])).await.unwrap_or(0), 0, "the upstream is dropped");
}

#[tokio::test]
async fn upstream_that_is_silent_is_dropped_and_asked_again() {
    let (upstream, address) = serve_proxy(100 * MILLISECOND).await;
    let (mut events, mut silent) = open(&upstream, address, "id: 7\ndata: one\n\n").await;
    assert_eq!(events.next().await.unwrap().data, "one");
    let mut connection = reconnected(&upstream, "7", STREAM).await;
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap_or(0), 0);
    connection.write_all(b"id: 8\ndata: two\n\n").await.unwrap();
    assert_eq!(events.next().await.unwrap().data, "two");
}

#[tokio::test]
async fn body_fails_where_the_client_must_reconnect_itself() {
    // Without an id, the proxy cannot resume.
    let (upstream, address) = serve_proxy(Duration::MAX).await;
    let (mut events, connection) = open(&upstream, address, "data: one\n\n").await;
    assert_eq!(events.next().await.unwrap().data, "one");
    drop(connection);
    assert!(fails(events).await);

    // The client receives the answer when it reconnects.
    let (mut events, connection) = open(&upstream, address, "id: 7\ndata: one\n\n").await;
    assert_eq!(events.next().await.unwrap().data, "one");
    drop(connection);
    drop(reconnected(&upstream, "7", "HTTP/1.1 204 No Content\r\n\r\n").await);
    assert!(fails(events).await);
}

/// Returns whether the body fails, and does not end.
async fn fails(events: EventReader<Incoming>) -> bool {
    use http_body_util::BodyExt;
    soon(events.into_body().collect()).await.is_err()
}
