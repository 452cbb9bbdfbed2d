use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::*;

#[path = "../../../examples/proxy.rs"]
#[allow(dead_code)]
mod example;
mod packets;
mod reconnects;

/// An upstream that the test writes by hand, packet by packet.
struct Upstream(TcpListener);

impl Upstream {
    async fn new() -> (Self, http::uri::Authority) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
        (Self(listener), authority)
    }

    /// Awaits a request, reads it up to `end`, and answers with `head`.
    async fn answer(&self, end: &str, head: &str) -> (TcpStream, String) {
        let (mut stream, _) = soon(self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = read_up_to(&mut stream, end).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        (stream, request)
    }
}

async fn read_up_to(stream: &mut TcpStream, end: &str) -> String {
    let mut received = Vec::new();
    while !received.ends_with(end.as_bytes()) {
        let read = soon(stream.read_buf(&mut received)).await.unwrap();
        assert_ne!(read, 0, "{} has no end", received.escape_ascii());
    }
    String::from_utf8(received).unwrap()
}

async fn serve(app: Router) -> SocketAddr {
    serve_axum(app).await
}

/// Returns the head of an event stream of `length` bytes, with headers that must be removed.
fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
         content-length: {length}\r\netag: \"1\"\r\nx-hop: 1\r\n\
         connection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nset-cookie: a=b\r\n\r\n"
    )
}

#[tokio::test]
async fn headers_are_those_of_an_event_stream_without_hop_by_hop_ones() {
    let (upstream, authority) = Upstream::new().await;
    let address = serve(example::app(authority.clone())).await;
    let (response, (_stream, request)) = tokio::join!(
        client::get(
            address,
            "/news?topic=a%20b",
            &[
                ("accept", "text/event-stream"),
                ("accept-encoding", "gzip, br"),
                ("last-event-id", "41"),
                ("connection", "keep-alive, X-Mine"),
                ("x-mine", "1"),
                ("te", "trailers"),
                ("x-other", "2"),
            ],
        ),
        async { upstream.answer("\r\n\r\n", &head(100)).await }
    );
    let (line, headers) = request.split_once("\r\n").unwrap();
    assert_eq!(line, "GET /news?topic=a%20b HTTP/1.1");
    let mut headers: Vec<_> = headers.trim_end().split("\r\n").collect();
    headers.sort_unstable();
    let host = format!("host: {authority}");
    assert_eq!(headers, ["accept: text/event-stream", &host, "last-event-id: 41", "x-other: 2"]);

    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .filter(|header| !header.starts_with("date: "))
        .collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "cache-control: no-cache, no-transform",
            "content-type: text/event-stream",
            "set-cookie: a=b",
            "transfer-encoding: chunked",
            "x-accel-buffering: no",
        ]
    );
}

#[tokio::test]
async fn the_upstream_is_dropped_when_the_client_leaves() {
    let (upstream, authority) = Upstream::new().await;
    let address = serve(example::app(authority)).await;
    let (response, (mut stream, _)) = tokio::join!(client::get(address, "/", &[]), async {
        upstream
            .answer(
                "\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n",
            )
            .await
    });
    let mut events = EventReader::new(response);
    assert_eq!(events.next().await.unwrap().data, "1");
    drop(events);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_is_forwarded_before_it_is_complete() {
    let (upstream, authority) = Upstream::new().await;
    let mut client = TcpStream::connect(serve(example::app(authority)).await).await.unwrap();
    let begin = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.write_all(begin.as_bytes()).await.unwrap();
    let (mut stream, request) = upstream.answer("\r\n\r\n5\r\nhello\r\n", "").await;
    assert!(request.starts_with("POST / HTTP/1.1\r\n"));
    client.write_all(b"6\r\n world\r\n0\r\n\r\n").await.unwrap();
    read_up_to(&mut stream, "6\r\n world\r\n0\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let response = read_up_to(&mut client, "\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 201 Created\r\n"), "{response}");
}

#[tokio::test]
async fn other_responses_pass_untouched_to_clients_of_http_2_too() {
    let (upstream, authority) = Upstream::new().await;
    let address = serve(example::app(authority)).await;
    let request = Request::get(format!("http://{address}/data")).body(Full::<Bytes>::default());
    let mut sender = connect_h2(address).await;
    let (response, _) = tokio::join!(soon(sender.send_request(request.unwrap())), async {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\netag: \"1\"\r\n\r\n{}";
        upstream.answer("\r\n\r\n", head).await
    });
    let response: Response<Incoming> = response.unwrap();
    assert_eq!(response.headers()["content-length"], "2");
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert!(!response.headers().contains_key("x-accel-buffering"));
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "{}");
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_bad_gateway() {
    let (upstream, authority) = Upstream::new().await;
    drop(upstream);
    let response = client::get(serve(example::app(authority)).await, "/", &[]).await;
    assert_eq!(response.status(), 502);
}
