//! The examples for axum, hyper and tonic, and the proxy.

use bytes::Bytes;
use http_body_util::Full;

use crate::*;

#[path = "../../../examples/hyper_raw.rs"]
#[allow(dead_code)]
mod hyper_raw;

#[tokio::test]
async fn existing_axum_app_gets_headers_for_proxies() {
    let example = run("existing_axum").await;
    let response = client::get(example.address, "/messages", &[]).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut messages = EventReader::new(response);
    post(example.address, "/messages", "hello").await;
    assert_eq!(messages.next().await.unwrap().data, r#""hello""#);
}

#[tokio::test]
async fn hyper_without_a_framework_resumes_a_clock_over_http_2() {
    let example = run("hyper_raw").await;
    let mut last = String::new();
    for _ in 0..2 {
        let request = Request::get(format!("http://{}/ticks", example.address));
        let request = request.header("last-event-id", &last).body(Full::<Bytes>::default());
        let mut connection = Protocol::Http2.connect(example.address).await;
        let mut ticks = EventReader::new(connection.send(request.unwrap()).await);
        let tick = ticks.next().await.unwrap().last_event_id.to_string();
        if let Ok(seen) = last.parse::<u32>() {
            assert_eq!(tick, (seen + 1).to_string());
        }
        last = tick;
    }
}

#[tokio::test]
async fn hyper_without_a_framework_closes_connections_that_send_nothing() {
    let (listener, address) = support::listen().await;
    tokio::spawn(hyper_raw::serve(listener, SseLayer::new()));
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    // The server has accepted both connections once it answers the second one.
    client::get(address, "/", &[]).await;
    tokio::time::pause();
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn tonic_serves_grpc_web_and_events_on_one_port() {
    let example = run("tonic_web").await;
    let headers = [("content-type", "application/grpc-web+proto")];
    let check = "/grpc.health.v1.Health/Check";
    let response = client::post(example.address, check, &headers, &[0_u8; 5][..]).await;
    let message = response.into_body().collect().await.unwrap().to_bytes();
    // One message of two bytes: field 1, an integer.
    assert!(message.starts_with(&[0, 0, 0, 0, 2, 8]), "{message:?}");
    let health = open(example.address, "/events", "").await.next().await.unwrap();
    assert_eq!(health.event, "health");
    assert!(health.data.ends_with("SERVING"), "{health:?}");
}

/// Answers the next request with this event, closes the connection, and returns the request.
async fn answer(upstream: &tokio::net::TcpListener, event: &str) -> String {
    let (mut stream, _) = soon(upstream.accept()).await.unwrap();
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(soon(stream.read_u8()).await.unwrap().into());
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    stream.write_all(format!("{head}{event}\n\n").as_bytes()).await.unwrap();
    request
}

#[tokio::test]
async fn client_notices_nothing_of_an_upstream_that_breaks_off() {
    let (upstream, address) = support::listen().await;
    let proxy = serve(Command::new(example_program("proxy")).arg(address.to_string())).await;
    let began = std::time::Instant::now();
    let (response, _) = tokio::join!(
        client::get(proxy.address, "/news", &[("accept", "text/event-stream")]),
        answer(&upstream, "retry: 0\nid: 7\ndata: one")
    );
    assert_eq!(response.headers()["incremental"], "?1");
    let mut news = EventReader::new(response);
    assert_eq!(news.next().await.unwrap().data, "one");
    let request = answer(&upstream, "data: two").await;
    assert!(request.starts_with("GET /news ") && request.contains("\r\nlast-event-id: 7\r\n"));
    // Without a minimum delay, the proxy would reconnect in a busy loop while its upstream is down.
    assert!(began.elapsed() > Duration::from_millis(100));
    assert_eq!(news.next().await.unwrap().data, "two");

    drop(upstream);
    let headers = [("accept", "text/event-stream"), ("cache-control", "no-cache")];
    assert_eq!(client::get(proxy.address, "/news", &headers).await.status(), StatusCode::OK);
    assert_eq!(client::get(proxy.address, "/", &[]).await.status(), StatusCode::BAD_GATEWAY);
}
