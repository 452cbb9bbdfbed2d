//! The chat's server. The pages are tested in browsers.

use std::net::SocketAddr;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, Message, SseLayer, hub::Hub};

use crate::*;

#[path = "../../../examples/chat/main.rs"]
#[allow(dead_code)]
mod example;

type Page = EventReader<Incoming>;

async fn serve(hub: &Hub) -> SocketAddr {
    let (app, shutdown) = (example::app(hub.clone(), SseLayer::new()), CancellationToken::new());
    start(|listener| async move { example::serve(listener, app, shutdown).await.unwrap() }).await
}

fn path(room: &str, name: &str) -> String {
    format!("/events?room={room}&name={name}")
}

async fn open(address: SocketAddr, room: &str, name: &str) -> Page {
    EventReader::new(client::get(address, &path(room, name), &[]).await)
}

async fn post(address: SocketAddr, message: &Value) -> Response<Incoming> {
    let headers = [("content-type", "application/json")];
    client::post(address, "/messages", &headers, message.to_string()).await
}

/// Posts a message, and returns the number of subscribers of its receiver.
async fn say(address: SocketAddr, from: &str, to: Value, text: &str) -> u64 {
    let response = post(address, &json!({ "from": from, "to": to, "text": text })).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&body).unwrap()["subscribers"].as_u64().unwrap()
}

/// Publishes to the room without the server.
fn fill(hub: &Hub, room: &str, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let data = json!({ "text": number.to_string() }).to_string();
        _ = hub.publish_now(format!("room:{room}"), Event::from(data)).unwrap();
    }
}

fn text(message: &Message) -> String {
    assert_eq!(message.event, "message");
    let data: Value = serde_json::from_str(&message.data).unwrap();
    data["text"].as_str().unwrap().to_owned()
}

/// Returns the next `count` texts, and the ID of the last.
async fn read(page: &mut Page, count: usize) -> (Vec<String>, String) {
    let mut texts = Vec::new();
    let mut last = String::new();
    for _ in 0..count {
        let message = page.next().await.expect("a message");
        texts.push(text(&message));
        last = message.last_event_id.to_string();
    }
    (texts, last)
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_room_gets_its_messages_and_all_rooms_get_broadcasts() {
    let address = serve(&Hub::new()).await;
    let mut ann = open(address, "kitchen", "ann").await;
    let mut bob = open(address, "kitchen", "bob").await;
    let mut cyd = open(address, "garden", "cyd").await;
    assert_eq!(say(address, "ann", json!({ "room": "kitchen" }), "tea?").await, 2);
    assert_eq!(say(address, "cyd", json!({ "room": "garden" }), "rain").await, 1);
    assert_eq!(say(address, "bob", json!({ "room": "cellar" }), "echo").await, 0);
    assert_eq!(say(address, "bob", json!("all"), "fire").await, 3);
    for page in [&mut ann, &mut bob] {
        assert_eq!(read(page, 2).await.0, ["tea?", "fire"]);
    }
    assert_eq!(read(&mut cyd, 2).await.0, ["rain", "fire"]);
}

#[tokio::test]
async fn a_message_has_its_text_author_receiver_and_time() {
    let address = serve(&Hub::new()).await;
    let mut page = open(address, "kitchen", "ann").await;
    let said = "two\nlines, \"quotes\", <b>\u{2028} and\u{0}\r\ndata: more\n\n";
    for to in [json!("all"), json!({ "room": "kitchen" }), json!({ "user": "ann" })] {
        say(address, "bob", to.clone(), said).await;
        let mut data: Value = serde_json::from_str(&page.next().await.unwrap().data).unwrap();
        assert!(data["at"].take().as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(data, json!({ "from": "bob", "to": to, "text": said, "at": null }));
    }
}

#[tokio::test]
async fn a_private_message_reaches_its_receiver_and_its_authors_pages_once() {
    let address = serve(&Hub::new()).await;
    let mut ann = open(address, "kitchen", "ann").await;
    let mut bob = open(address, "garden", "bob").await;
    let mut bob_elsewhere = open(address, "kitchen", "bob").await;
    let mut cyd = open(address, "kitchen", "cyd").await;
    assert_eq!(say(address, "ann", json!({ "user": "bob" }), "psst").await, 2);
    assert_eq!(say(address, "bob", json!({ "user": "bob" }), "milk").await, 2);
    // A room is not a person, whatever their names.
    assert_eq!(say(address, "ann", json!({ "user": "kitchen" }), "hello?").await, 0);
    say(address, "cyd", json!("all"), "over").await;
    assert_eq!(read(&mut ann, 3).await.0, ["psst", "hello?", "over"]);
    assert_eq!(read(&mut bob, 3).await.0, ["psst", "milk", "over"]);
    assert_eq!(read(&mut bob_elsewhere, 3).await.0, ["psst", "milk", "over"]);
    assert_eq!(read(&mut cyd, 1).await.0, ["over"]);
}

#[tokio::test]
async fn a_first_visit_begins_with_the_newest_fifty_of_its_topics() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    fill(&hub, "kitchen", 1..=60);
    fill(&hub, "garden", 61..=200);
    assert_eq!(say(address, "ann", json!({ "user": "bob" }), "psst").await, 0);
    let mut page = open(address, "kitchen", "bob").await;
    let mut expected = numbers(12..=60);
    expected.push("psst".into());
    assert_eq!(read(&mut page, 50).await.0, expected);
    fill(&hub, "kitchen", [201]);
    assert_eq!(read(&mut page, 1).await.0, ["201"]);
}

#[tokio::test]
async fn a_page_resumes_after_its_last_id_by_header_or_by_query() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    fill(&hub, "kitchen", 1..=3);
    let mut page = open(address, "kitchen", "bob").await;
    let (seen, third) = read(&mut page, 3).await;
    assert_eq!(seen, numbers(1..=3));
    drop(page);
    fill(&hub, "kitchen", 4..=99);
    say(address, "ann", json!({ "user": "bob" }), "psst").await;
    let mut expected = numbers(4..=99);
    expected.push("psst".into());

    let plain = path("kitchen", "bob");
    let with_query = format!("{plain}&last_event_id={third}");
    let by_header = client::get(address, &plain, &[("last-event-id", &third)]).await;
    let by_query = client::get(address, &with_query, &[]).await;
    let mut last = String::new();
    for response in [by_header, by_query] {
        let seen;
        (seen, last) = read(&mut EventReader::new(response), 97).await;
        assert_eq!(seen, expected);
    }

    // As when the browser reconnects by itself: the query is as old as the page.
    let response = client::get(address, &with_query, &[("last-event-id", &last)]).await;
    let mut page = EventReader::new(response);
    fill(&hub, "kitchen", [100]);
    assert_eq!(read(&mut page, 1).await.0, ["100"]);
}

#[tokio::test]
async fn a_page_from_before_a_restart_gets_a_gap_and_then_all_kept_messages() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    fill(&hub, "kitchen", 1..=99);
    let of_before = Hub::new();
    fill(&of_before, "kitchen", [100]);
    let old = of_before.position();
    let old = old.as_str();
    let plain = path("kitchen", "bob");
    for (path, header) in [
        (format!("{plain}&last_event_id={old}"), None),
        (plain.clone(), Some(("last-event-id", old))),
    ] {
        let mut page = EventReader::new(client::get(address, &path, header.as_slice()).await);
        for topic in ["all", "room:kitchen", "user:bob"] {
            let gap = page.next().await.unwrap();
            assert_eq!((&*gap.event, &*gap.data), ("gap", topic));
        }
        assert_eq!(read(&mut page, 99).await.0, numbers(1..=99));
    }
}

#[tokio::test]
async fn names_are_one_to_24_letters_digits_hyphens_and_underscores() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let long = "x".repeat(25);
    // A colon would turn the topic into one of another kind.
    let bad = ["", " ", "a b", "a:b", "a/b", "a\nb", "<b>", "\u{202e}a", "\u{0}", &long];
    for bad in bad {
        let encoded: String = bad.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [path(&encoded, "ann"), path("kitchen", &encoded)] {
            let response = client::get(address, &path, &[]).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad:?}");
        }
        for (from, to) in [
            (bad, json!("all")),
            ("ann", json!({ "room": bad })),
            ("ann", json!({ "user": bad })),
            ("ann", json!(bad)),
        ] {
            let response = post(address, &json!({ "from": from, "to": to, "text": "hi" })).await;
            assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{bad:?}");
        }
    }
    for missing in ["/events", "/events?room=kitchen", "/events?name=ann"] {
        let response = client::get(address, missing, &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{missing}");
    }
    assert!(hub.topics().is_empty(), "{hub:?}");

    for good in ["Zo\u{eb}", "名前", "a-b_c9", &"ü".repeat(24)] {
        let encoded: String = good.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut page = open(address, &encoded, &encoded).await;
        assert_eq!(say(address, good, json!({ "room": good }), "hi").await, 1);
        assert_eq!(read(&mut page, 1).await.0, ["hi"], "{good}");
    }
}

#[tokio::test]
async fn texts_are_neither_blank_nor_over_a_thousand_characters() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let mut page = open(address, "kitchen", "ann").await;
    let message = |text: &str| json!({ "from": "ann", "to": { "room": "kitchen" }, "text": text });
    let huge = "x".repeat(20_000);
    for (text, status) in [
        ("", StatusCode::UNPROCESSABLE_ENTITY),
        (" \n\t\u{a0}", StatusCode::UNPROCESSABLE_ENTITY),
        (&huge[..1001], StatusCode::UNPROCESSABLE_ENTITY),
        (&huge[..], StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(post(address, &message(text)).await.status(), status, "{} bytes", text.len());
    }
    // The maximum length, in characters of four bytes each.
    let longest = "𝄞".repeat(1000);
    say(address, "ann", json!({ "room": "kitchen" }), &longest).await;
    assert_eq!(read(&mut page, 1).await.0, [longest]);
}

#[tokio::test]
async fn bad_input_is_answered_with_its_reason() {
    let address = serve(&Hub::new()).await;
    let name = "a name has 1 to 24 letters, digits, hyphens and underscores";
    let text = "a text has 1 to 1000 characters, not all of them blank";
    for (from, to, said, sentence) in [
        ("a:b", json!("all"), "hi", name),
        ("ann", json!({ "user": "" }), "hi", name),
        ("ann", json!("all"), " ", text),
    ] {
        let response = post(address, &json!({ "from": from, "to": to, "text": said })).await;
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(body, sentence);
    }
    let response = client::get(address, &path("kitchen", "a:b"), &[]).await;
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, name);
}

#[tokio::test]
async fn a_shutdown_ends_the_streams_and_with_them_the_server() {
    let (listener, address) = listen().await;
    let shutdown = CancellationToken::new();
    let app = example::app(Hub::new(), SseLayer::new().shutdown(shutdown.clone()));
    let serving = tokio::spawn(example::serve(listener, app, shutdown.clone()));
    let mut page = open(address, "kitchen", "ann").await;
    say(address, "ann", json!("all"), "last words").await;
    assert_eq!(read(&mut page, 1).await.0, ["last words"]);
    shutdown.cancel();
    assert_eq!(soon(page.rest()).await, []);
    soon(serving).await.unwrap().unwrap();
}
