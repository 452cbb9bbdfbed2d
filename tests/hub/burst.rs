//! Publishing in a loop: clients get to read in between.

use axum::{Router, routing::get, routing::post};
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::task::coop::{consume_budget, has_budget_remaining};

use crate::support::client::{get as get_from, post as post_to};
use crate::*;

/// The events of a burst: many more than a topic keeps.
const EVENTS: usize = 8_000;

async fn burst(hub: Hub) -> StatusCode {
    for n in 0..EVENTS {
        hub.publish("a", n.to_string()).await.unwrap();
    }
    StatusCode::NO_CONTENT
}

/// Returns whether each of `clients` clients that read all the time receives every event of a
/// burst.
async fn arrives(clients: usize) -> bool {
    let hub = Hub::new();
    let (subscribed, published) = (hub.clone(), hub.clone());
    let events = async move || subscribed.subscribe(["a"]).resume(None).response();
    let app = Router::new().route("/events", get(events)).layer(SseLayer::new());
    let address = serve_axum(app.route("/burst", post(async move || burst(published).await))).await;
    let mut readers = JoinSet::new();
    for _ in 0..clients {
        readers.spawn(async move {
            let mut events = EventReader::new(get_from(address, "/events", &[]).await);
            for n in 0..EVENTS {
                let event = events.next().await.expect("an open stream");
                if event.event == "gap" {
                    return false;
                }
                assert_eq!(event.data, n.to_string());
            }
            true
        });
    }
    until(|| hub.subscriber_count("a") == clients).await;
    assert_eq!(post_to(address, "/burst", &[], "").await.status(), StatusCode::NO_CONTENT);
    readers.join_all().await.into_iter().all(|is_whole| is_whole)
}

#[tokio::test]
async fn clients_that_read_get_each_event_of_a_burst() {
    for clients in [1, 20] {
        assert!(arrives(clients).await, "{clients} clients");
    }
}

async fn spend_budget() {
    while has_budget_remaining() {
        consume_budget().await;
    }
}

#[tokio::test]
async fn publisher_without_budget_publishes_nothing_until_others_have_run() {
    for hub in [Hub::new(), connect(&MemoryBroker::new())] {
        spend_budget().await;
        assert!(hub.publish("a", "dropped").now_or_never().is_none());
        assert!(hub.gap("a").now_or_never().is_none());
        assert!(hub.end("a", "dropped").now_or_never().is_none());
        assert_eq!(hub.stats().events, 0);
        assert_eq!(sequence(hub.publish("a", "x").await.unwrap().id().as_str()), 1);
        assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["x@1"]);
    }
}
