use std::net::SocketAddr;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::task::yield_now;
use tower_sse::{Message, hub::Hub, testing::TestClient};

use crate::*;

#[path = "../../../examples/notifications.rs"]
#[allow(dead_code)]
mod example;

async fn serve(hub: &Hub) -> SocketAddr {
    let app = example::app(hub.clone());
    serve_axum(app).await
}

/// Connects, and at a first visit waits for the greeting.
async fn connect(address: SocketAddr, id: &str, last: Option<&str>) -> EventReader<Incoming> {
    let mut reader = reconnect(address, id, last).await;
    if last.is_none() {
        let [name, data, _] = receive(&mut reader).await;
        assert_eq!([&*name, &data], ["connected", id]);
    }
    reader
}

async fn reconnect(address: SocketAddr, id: &str, last: Option<&str>) -> EventReader<Incoming> {
    let header = last.map(|last| ("last-event-id", last));
    EventReader::new(client::get(address, &format!("/connect/{id}"), header.as_slice()).await)
}

async fn post(address: SocketAddr, path: &str, text: &str) -> Response<Incoming> {
    client::post(address, path, &[], text.to_owned()).await
}

/// Sends a notification to `streams` streams, and returns its ID.
async fn notify(address: SocketAddr, path: &str, text: &str, streams: usize) -> String {
    let response = post(address, path, text).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({ "id": id, "connected": streams > 0, "streams": streams }));
    id
}

/// Waits until these topics have no subscriptions.
async fn have_no_subscriptions(hub: &Hub, topics: &[&str]) {
    soon(async {
        while topics.iter().any(|topic| hub.subscriber_count(topic) > 0) {
            yield_now().await;
        }
    })
    .await;
}

fn topics(hub: &Hub) -> Vec<String> {
    let mut topics: Vec<_> = hub.topics().iter().map(ToString::to_string).collect();
    topics.sort();
    topics
}

/// An event's name, data and ID.
type Notification = [String; 3];

async fn receive(reader: &mut EventReader<Incoming>) -> Notification {
    let Message { event, data, last_event_id, .. } = reader.next().await.unwrap();
    [event, data, last_event_id.to_string()]
}

fn notification(text: &str, id: &str) -> Notification {
    ["notification", text, id].map(str::to_owned)
}

#[tokio::test]
async fn streams_get_their_clients_notifications_and_all_get_broadcasts() {
    let address = serve(&Hub::new()).await;
    let mut alice = [connect(address, "alice", None).await, connect(address, "alice", None).await];
    let mut bob = connect(address, "bob", None).await;

    let first = notify(address, "/notify/alice", "one", 2).await;
    let forged = "two\n\nevent: counted\r\ndata: forged";
    let second = notify(address, "/notify/alice", forged, 2).await;
    let shared = notify(address, "/notify", "all", 3).await;
    let third = notify(address, "/notify/bob", "", 1).await;

    let forged = forged.replace('\r', "");
    for stream in &mut alice {
        assert_eq!(receive(stream).await, notification("one", &first));
        assert_eq!(receive(stream).await, notification(&forged, &second));
        assert_eq!(receive(stream).await, notification("all", &shared));
    }
    // The first event he gets: the one for her came before it.
    assert_eq!(receive(&mut bob).await, notification("all", &shared));
    assert_eq!(receive(&mut bob).await, notification("", &third));
}

#[tokio::test]
async fn a_returning_client_gets_what_it_missed_once_and_in_order() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let mut alice = connect(address, "alice", None).await;
    let seen = notify(address, "/notify/alice", "seen", 1).await;
    assert_eq!(receive(&mut alice).await, notification("seen", &seen));
    drop(alice);
    have_no_subscriptions(&hub, &["client:alice", "all"]).await;

    let first = notify(address, "/notify/alice", "missed", 0).await;
    let shared = notify(address, "/notify", "missed by all", 0).await;
    notify(address, "/notify/bob", "not hers", 0).await;
    let second = notify(address, "/notify/alice", "missed too", 0).await;

    let mut alice = connect(address, "alice", Some(&seen)).await;
    let live = notify(address, "/notify/alice", "live", 1).await;
    for (text, id) in
        [("missed", first), ("missed by all", shared), ("missed too", second), ("live", live)]
    {
        assert_eq!(receive(&mut alice).await, notification(text, &id));
    }
}

#[tokio::test]
async fn a_client_that_left_before_the_first_notification_gets_what_it_missed() {
    let hub = Hub::new();
    let mut client = TestClient::new(example::app(hub.clone()));
    let greeting = client.get("/connect/alice").await.next().await;
    assert!(hub.topics().is_empty(), "she has left");
    let missed = hub.publish("client:alice", "missed").await.unwrap();

    let mut alice = client.resume("/connect/alice", &greeting.last_event_id).await;
    assert_eq!(alice.next().await, Message::new("missed").last_event_id(missed.id().as_str()));
    let seen = hub.publish("all", "seen").await.unwrap();
    assert_eq!(alice.next().await.data, "seen");

    hub.publish("client:alice", "cut off").await.unwrap();
    let mut alice = client.reconnect(alice).await;
    assert_eq!(alice.last_event_id(), seen.id().as_str());
    assert_eq!(alice.next().await.data, "cut off");
}

#[tokio::test]
async fn code_without_http_can_notify_a_client_by_its_id() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let mut alice = connect(address, "alice", None).await;
    let mut bob = connect(address, "bob", None).await;
    for (text, words) in [("four words, and more", "4"), ("one", "1")] {
        assert_eq!(post(address, "/jobs/alice", text).await.status(), StatusCode::ACCEPTED);
        let [event, data, id] = receive(&mut alice).await;
        assert_eq!((&*event, &*data, &*id), ("counted", words, hub.position().as_str()));
    }
    let shared = notify(address, "/notify", "all", 2).await;
    assert_eq!(receive(&mut bob).await, notification("all", &shared));
}

#[tokio::test]
async fn an_invalid_client_id_is_refused_and_creates_no_topic() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let long = "a".repeat(65);
    for id in ["a%20b", "a%0ab", "a:b", "%C3%A4", "a%2Fb", &long] {
        let response = client::get(address, &format!("/connect/{id}"), &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{id}");
        for path in ["notify", "jobs"] {
            let status = post(address, &format!("/{path}/{id}"), "text").await.status();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {id}");
        }
    }
    assert!(hub.topics().is_empty(), "{:?}", hub.topics());
    // As an ID this is one client's, like any other.
    let mut client_all = connect(address, "all", None).await;
    let own = notify(address, "/notify/all", "to one", 1).await;
    assert_eq!(receive(&mut client_all).await, notification("to one", &own));
    assert_eq!(topics(&hub), ["all", "client:all"]);
}

#[tokio::test]
async fn closing_the_hub_ends_streams_after_their_last_event_and_rejects_new_events() {
    let hub = Hub::new();
    let address = serve(&hub).await;
    let mut alice = connect(address, "alice", None).await;
    let id = notify(address, "/notify/alice", "the last", 1).await;
    hub.close();
    assert_eq!(receive(&mut alice).await, notification("the last", &id));
    assert!(alice.next().await.is_none());
    let refused = post(address, "/notify/alice", "too late").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}
