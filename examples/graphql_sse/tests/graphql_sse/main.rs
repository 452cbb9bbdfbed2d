//! The example's guarantees, checked mostly with the official client for JavaScript.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio::{io::AsyncReadExt, process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, Heartbeat, SseLayer, hub::Hub};

mod axum_handler;
mod ends;
mod server;

#[path = "../../src/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use example::{chat, graphql_layer, is_subscription, serve};
use server::{Client, Server, UPDATES, message, reload, run, start_program};
use support::{Process, Program, exchange, listen, node, soon};

fn connected() -> Value {
    json!({ "connected": "first" })
}

fn complete() -> Value {
    json!({ "complete": true })
}

#[tokio::test]
async fn query_and_mutation_have_one_result_each() {
    let server = Server::start().await;
    let say = r#"mutation { say(room: "kitchen", text: "soup") { number } }"#;
    let Some(reports) = run(server.address, say, 0).await else { return };
    let said = json!({ "next": { "data": { "say": { "number": 1 } } } });
    assert_eq!(reports, [connected(), said, complete()]);
    let reports = run(server.address, r#"{ messages(room: "kitchen") { text } }"#, 0).await;
    let messages = json!({ "next": { "data": { "messages": [{ "text": "soup" }] } } });
    assert_eq!(reports.unwrap(), [connected(), messages, complete()]);
}

#[tokio::test]
async fn subscription_begins_with_a_reload_and_then_has_each_message() {
    let server = Server::start().await;
    let Some(mut client) = Client::subscribe(server.address).await else { return };
    for (number, text) in [(1, "soup"), (2, "a line\nand another"), (3, "salt")] {
        server.publish(number, text);
        assert_eq!(client.next().await, message(number, text));
    }
}

#[tokio::test]
async fn item_that_fails_leaves_the_subscription_open() {
    let server = Server::start().await;
    let Some(mut client) = Client::subscribe(server.address).await else { return };
    server.hub.publish_now("kitchen", "no JSON").unwrap();
    assert_eq!(client.next().await["next"]["errors"][0]["path"], json!(["updates"]));
    server.publish(2, "salt");
    assert_eq!(client.next().await, message(2, "salt"));
}

#[tokio::test]
async fn errors_of_queries_and_resolvers_are_results() {
    let server = Server::start().await;
    for (query, expected) in [
        ("{ dishes }", "Unknown field"),
        ("{ messages(", "expected"),
        ("subscription { a }", "Unknown field"),
        (r#"mutation { say(room: "kitchen", text: "") { number } }"#, "a message needs a text"),
    ] {
        let Some(reports) = run(server.address, query, 0).await else { return };
        let [first, result, last] = &reports[..] else { panic!("{reports:?}") };
        let text = result["next"]["errors"][0]["message"].as_str().unwrap();
        assert!(text.contains(expected), "{query}: {text}");
        assert_eq!((first, last), (&connected(), &complete()));
    }
}

/// A client repeats a mutation that has failed. If its message were stored, it would be stored
/// twice.
#[tokio::test]
async fn message_that_is_not_published_is_not_stored() {
    let hub = Hub::new();
    let schema = chat::schema(hub.clone());
    hub.close();
    let say = r#"mutation { say(room: "kitchen", text: "soup") { number } }"#;
    assert!(schema.execute(say).await.is_err());
    let stored = schema.execute(r#"{ messages(room: "kitchen") { text } }"#).await.data;
    assert_eq!(stored.into_json().unwrap(), json!({ "messages": [] }));
}

#[tokio::test]
async fn server_drops_a_subscription_that_the_client_disposes_of() {
    let server = Server::start().await;
    let Some(mut client) = Client::subscribe(server.address).await else { return };
    server.until_subscribed(1).await;
    client.dispose().await;
    server.until_subscribed(0).await;
}

/// Sends a request as no client would and returns the answer.
async fn send(address: SocketAddr, method: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-length: {length}\r\n{headers}\r\n\r\n{body}"
    );
    exchange(address, &request).await
}

#[tokio::test]
async fn requests_that_are_no_graphql_get_a_status_and_json() {
    let server = Server::start().await;
    let query = r#"{ "query": "{ messages(room: \"kitchen\") { text } }" }"#;
    let json = "content-type: application/json";
    let events = format!("{json}; charset=utf-8\r\naccept: text/event-stream");
    let long = "x".repeat(65_537);
    for (method, headers, body, status, expected) in [
        ("POST", &*events, query, 200, "event: next\ndata: {\"data\":{\"messages\":[]}}\n\n"),
        ("POST", json, query, 200, "event: complete\ndata: \n\n"),
        ("POST", json, "{", 400, r#"{"data":null,"errors":[{"message":"EOF while parsing"#),
        ("POST", json, "7", 400, r#"{"data":null,"errors":[{"message":"#),
        ("POST", json, &*long, 400, r#"{"message":"length limit exceeded"}"#),
        ("POST", "content-type: text/plain", query, 415, r#"{"message":"send application/json"}"#),
        ("POST", &format!("{json}\r\naccept: text/html"), query, 406, ""),
        ("GET", json, "", 405, r#"{"message":"send a POST"}"#),
    ] {
        let answer = send(server.address, method, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {headers}: {answer}");
        assert!(answer.contains(expected), "{answer}");
    }
}

#[test]
fn asked_operation_decides_what_is_a_subscription() {
    let both = "query One { a } subscription Two { b }";
    for (query, name, expected) in [
        ("{ a }", None, false),
        ("mutation { a }", None, false),
        ("subscription { a }", None, true),
        (both, Some("One"), false),
        (both, Some("Two"), true),
        ("subscription {", None, false),
    ] {
        let mut request = async_graphql::Request::new(query);
        request.operation_name = name.map(str::to_owned);
        assert_eq!(is_subscription(&mut request), expected, "{query} {name:?}");
    }
}

/// The handler for axum from the guide's page on GraphQL.
#[tokio::test]
async fn same_client_reads_an_answer_of_axum() {
    let ((listener, address), hub) = (listen().await, Hub::new());
    let shutdown = CancellationToken::new();
    let app = axum_handler::app(chat::schema(hub.clone()), shutdown.clone());
    let server = axum::serve(listener, app);
    let server = server.with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future();
    let served = tokio::spawn(server);
    let Some(reports) = run(address, r#"{ messages(room: "kitchen") { text } }"#, 0).await else {
        return;
    };
    let messages = json!({ "next": { "data": { "messages": [] } } });
    assert_eq!(reports, [connected(), messages, complete()]);
    let mut client = Client::subscribe(address).await.unwrap();
    hub.publish_now("kitchen", r#"{"number":1,"text":"soup"}"#).unwrap();
    assert_eq!(client.next().await, message(1, "soup"));
    assert!(send(address, "POST", "content-type: text/plain", "").await.contains(" 415 "));
    shutdown.cancel();
    timeout(Duration::from_secs(10), served).await.expect("at once").unwrap().unwrap();
}
