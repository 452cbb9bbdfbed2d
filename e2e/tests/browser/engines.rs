//! The page of a first visitor in several engines, and its script in Node.

use axum::routing::get;

use crate::engine::{Engine, EnginePage};
use crate::*;

/// The script of the page, which reads `/events`.
const FIRST_VISITOR: &str = "
    const source = new EventSource('/events');
    source.addEventListener('start', event => report('start ' + event.data + ' ' + event.lastEventId));
    source.onmessage = event => report('message ' + event.data);";

/// Uses the handler of the README's program.
async fn first_visit_survives_a_cut(engine: Engine) {
    let hub = Hub::new();
    let subscribed = hub.clone();
    let events = async move |last: Option<LastEventId>| {
        subscribed.subscribe_to("news").resume(last).response()
    };
    let app = Router::new().route("/events", get(events)).layer(SseLayer::new());
    let Some(mut page) = EnginePage::open(engine, app, FIRST_VISITOR).await else { return };
    let position = format!("start {{}} {}", hub.position());
    assert_eq!(page.next_report().await, position, "{engine:?}");

    page.relay.cut();
    until(|| hub.stats().subscribers == 0).await;
    hub.publish("news", "one").await.unwrap();
    until(|| hub.stats().subscribers == 1).await;
    hub.publish("news", "two").await.unwrap();
    for expected in ["message one", "message two"] {
        assert_eq!(page.next_report().await, expected, "{engine:?}");
    }
}

#[tokio::test]
async fn chromium_receives_what_it_missed_before_its_first_event() {
    first_visit_survives_a_cut(Engine::Chromium).await;
}

#[tokio::test]
async fn eventsource_of_npm_receives_what_it_missed_before_its_first_event() {
    first_visit_survives_a_cut(Engine::Node).await;
}

#[tokio::test]
#[ignore = "needs three engines: `.ci/slow engines`"]
async fn other_engines_receive_what_they_missed_before_their_first_event() {
    first_visit_survives_a_cut(Engine::Firefox).await;
    first_visit_survives_a_cut(Engine::WebKitGtk).await;
}
