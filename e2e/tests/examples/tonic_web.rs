use std::{io::Write, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Answer,
        health_client::HealthClient,
    },
    server::HealthReporter,
};

use crate::*;

#[path = "../../../examples/tonic_web.rs"]
#[allow(dead_code)]
mod example;

async fn reporter() -> HealthReporter {
    let reporter = HealthReporter::new();
    reporter.set_service_status("shop", ServingStatus::Serving).await;
    reporter
}

async fn with_layer(reporter: &HealthReporter) -> SocketAddr {
    let reporter = reporter.clone();
    start(|listener| example::serve(listener, reporter)).await
}

/// Starts the same server without the layer.
async fn without_layer(reporter: &HealthReporter) -> SocketAddr {
    let routes = example::routes(reporter.clone());
    start(|listener| {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Server::builder().accept_http1(true).add_routes(routes).serve_with_incoming(incoming)
    })
    .await
}

/// A request of a grpc-web client over HTTP/1, whose response is read byte by byte.
struct Call {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Call {
    async fn new(address: SocketAddr, method: &str, content_type: &str, body: &[u8]) -> Self {
        let mut request = Vec::new();
        write!(
            request,
            "POST /grpc.health.v1.Health/{method} HTTP/1.1\r\nhost: localhost\r\n\
             connection: close\r\ncontent-type: {content_type}\r\naccept: {content_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        request.extend_from_slice(body);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        Self { stream, received: Vec::new() }
    }

    async fn read_up_to(&mut self, bytes: &[u8]) {
        while !self.received.windows(bytes.len()).any(|window| window == bytes) {
            let read = soon(self.stream.read_buf(&mut self.received)).await.unwrap();
            assert_ne!(read, 0, "the response has ended: {}", self.received.escape_ascii());
        }
    }

    /// Returns the whole response without its date.
    async fn rest(mut self) -> String {
        soon(self.stream.read_to_end(&mut self.received)).await.unwrap();
        let response = self.received.escape_ascii().to_string();
        let (before, date) = response.split_once("date: ").expect("a date");
        let (_, after) = date.split_once(r"\r\n").unwrap();
        format!("{before}{after}")
    }
}

/// Returns a message in its frame.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fn named(service: &str) -> Vec<u8> {
    let length = u8::try_from(service.len()).unwrap();
    // Field 1, a string.
    frame(&[&[0x0a, length], service.as_bytes()].concat())
}

fn answer(status: Answer) -> Vec<u8> {
    // Field 1, an integer.
    frame(&[0x08, u8::try_from(i32::from(status)).unwrap()])
}

const PROTO: &str = "application/grpc-web+proto";

#[tokio::test]
async fn the_layer_changes_no_byte_of_a_unary_call() {
    let reporter = reporter().await;
    let servers = [without_layer(&reporter).await, with_layer(&reporter).await];
    for (content_type, body, expected) in [
        (PROTO, named("shop"), answer(Answer::Serving)),
        ("application/grpc-web", named("shop"), answer(Answer::Serving)),
        // In base64: the empty message, and the answer.
        ("application/grpc-web-text", b"AAAAAAA=".to_vec(), b"AAAAAAIIAQ==".to_vec()),
    ] {
        let mut responses = Vec::new();
        for server in servers {
            responses.push(Call::new(server, "Check", content_type, &body).await.rest().await);
        }
        assert_eq!(responses[1], responses[0]);
        assert!(responses[0].starts_with("HTTP/1.1 200 OK"), "{}", responses[0]);
        assert!(responses[0].contains(&expected.escape_ascii().to_string()), "{}", responses[0]);
    }
}

#[tokio::test]
async fn the_layer_changes_no_byte_of_a_streaming_call() {
    let mut responses = Vec::new();
    for layered in [false, true] {
        let mut reporter = reporter().await;
        let server =
            if layered { with_layer(&reporter).await } else { without_layer(&reporter).await };
        let mut call = Call::new(server, "Watch", PROTO, &named("shop")).await;
        call.read_up_to(&answer(Answer::Serving)).await;
        reporter.set_service_status("shop", ServingStatus::NotServing).await;
        call.read_up_to(&answer(Answer::NotServing)).await;
        reporter.clear_service_status("shop").await;
        responses.push(call.rest().await);
    }
    assert_eq!(responses[1], responses[0]);
    assert!(responses[0].contains("grpc-status:0"), "{}", responses[0]);
}

#[tokio::test]
async fn the_layer_changes_no_byte_of_a_failing_call() {
    let reporter = reporter().await;
    let servers = [without_layer(&reporter).await, with_layer(&reporter).await];
    for (method, body, expected) in [
        ("Check", named("unknown"), "grpc-status: 5"),
        ("Watch", named("unknown"), "grpc-status: 5"),
        ("Nothing", named("shop"), "grpc-status: 12"),
        ("Check", b"\0\0\0\0\x01\xff".to_vec(), "grpc-status: 13"),
    ] {
        let mut responses = Vec::new();
        for server in servers {
            responses.push(Call::new(server, method, PROTO, &body).await.rest().await);
        }
        assert_eq!(responses[1], responses[0]);
        assert!(responses[0].contains(expected), "{}", responses[0]);
    }
}

#[tokio::test]
async fn grpc_clients_are_served_over_http_2() {
    let reporter = reporter().await;
    let address = with_layer(&reporter).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(soon(channel.connect()).await.unwrap());
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };

    let checked = soon(client.check(request("shop"))).await.unwrap().into_inner();
    assert_eq!(checked.status(), Answer::Serving);
    let failed = soon(client.check(request("unknown"))).await.unwrap_err();
    assert_eq!(failed.code(), Code::NotFound);

    let mut updates = soon(client.watch(request("shop"))).await.unwrap().into_inner();
    let update = soon(updates.message()).await.unwrap().unwrap();
    assert_eq!(update.status(), Answer::Serving);
    reporter.set_service_status("shop", ServingStatus::NotServing).await;
    let update = soon(updates.message()).await.unwrap().unwrap();
    assert_eq!(update.status(), Answer::NotServing);
}

#[tokio::test]
async fn browsers_receive_the_streaming_call_as_events() {
    let mut reporter = reporter().await;
    let address = with_layer(&reporter).await;
    let response = client::get(address, "/events?service=shop", &[]).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");

    let mut events = EventReader::new(response);
    for (status, expected) in [
        (None, "SERVING"),
        (Some(ServingStatus::NotServing), "NOT_SERVING"),
        (Some(ServingStatus::Unknown), "UNKNOWN"),
    ] {
        if let Some(status) = status {
            reporter.set_service_status("shop", status).await;
        }
        let event = events.next().await.unwrap();
        assert_eq!((&*event.event, &*event.data), ("health", expected));
    }
    reporter.clear_service_status("shop").await;
    assert_eq!(events.next().await, None);

    // The service is now unknown, and an `EventSource` must not reconnect forever.
    assert_eq!(client::get(address, "/events?service=shop", &[]).await.status(), 404);
    let whole = client::get(address, "/events", &[]).await;
    assert_eq!(EventReader::new(whole).next().await.unwrap().data, "SERVING");
}
