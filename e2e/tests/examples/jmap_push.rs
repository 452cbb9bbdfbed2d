//! What RFC 8620, section 7.3, says about event sources.

use axum::body::Body;
use tokio::time::Instant;
use tower_sse::decode::Message;

use crate::*;

#[path = "../../../examples/jmap_push.rs"]
#[allow(dead_code)]
mod example;

const INTERVAL: Duration = Duration::from_secs(30);

fn app() -> Router {
    example::routes(example::Server::default()).layer(SseLayer::new())
}

async fn send(app: &Router, request: http::request::Builder) -> http::Response<Body> {
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn open(app: &Router, query: &str, last: &str) -> EventReader<Body> {
    let request = Request::get(format!("/jmap/eventsource?{query}"))
        .header("accept", "text/event-stream")
        .header("cache-control", "no-cache")
        .header("last-event-id", last);
    EventReader::new(send(app, request).await)
}

async fn change(app: &Router, kind: &str) {
    let answer = send(app, Request::post(format!("/changes/{kind}"))).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

fn is_state(message: &Message, states: Value) {
    let expected = json!({ "@type": "StateChange", "changed": { "a1": states } });
    let data: Value = serde_json::from_str(&message.data).unwrap();
    assert_eq!((&*message.event, data), ("state", expected));
}

#[tokio::test]
async fn client_receives_states_of_its_types() {
    let app = app();
    let mut chosen = open(&app, "types=Email,Thread&closeafter=no&ping=0", "").await;
    is_state(&chosen.next().await.unwrap(), json!({ "Email": "0", "Thread": "0" }));
    let mut all = open(&app, "types=*&closeafter=no&ping=0", "").await;
    let states = json!({ "Email": "0", "Mailbox": "0", "Thread": "0" });
    is_state(&all.next().await.unwrap(), states);
    for kind in ["Mailbox", "Email"] {
        change(&app, kind).await;
    }
    is_state(&chosen.next().await.unwrap(), json!({ "Email": "1" }));
    is_state(&all.next().await.unwrap(), json!({ "Mailbox": "1" }));
    is_state(&all.next().await.unwrap(), json!({ "Email": "1" }));
}

#[tokio::test(start_paused = true)]
async fn returning_client_receives_newest_state_of_each_changed_type() {
    let (app, query) = (app(), "types=*&closeafter=state&ping=0");
    let first = open(&app, query, "").await.rest().await;
    for kind in ["Email", "Mailbox", "Email", "Email"] {
        change(&app, kind).await;
    }
    let missed = open(&app, query, &first[0].last_event_id).await.rest().await;
    let [mailbox, email] = missed.try_into().unwrap();
    is_state(&mailbox, json!({ "Mailbox": "1" }));
    is_state(&email, json!({ "Email": "3" }));
}

#[tokio::test(start_paused = true)]
async fn response_ends_after_a_state_if_the_client_asks_so() {
    let (app, query) = (app(), "types=Email&closeafter=state&ping=30");
    let mut last = open(&app, query, "").await.rest().await[0].last_event_id.to_string();
    for number in 1..4 {
        let mut stream = open(&app, query, &last).await;
        // A ping doesn't end the stream.
        assert_eq!(&*stream.next().await.unwrap().event, "ping");
        change(&app, "Email").await;
        let [state] = stream.rest().await.try_into().unwrap();
        is_state(&state, json!({ "Email": number.to_string() }));
        last = state.last_event_id.to_string();
    }
}

#[tokio::test(start_paused = true)]
async fn ping_comes_at_each_interval_and_has_no_new_id() {
    let app = app();
    let mut stream = open(&app, "types=Email&closeafter=no&ping=1", "").await;
    let first = stream.next().await.unwrap();
    let begun = Instant::now();
    stream.next().await.unwrap();
    sleep(INTERVAL / 2).await;
    change(&app, "Email").await;
    let state = stream.next().await.unwrap();
    let ping = stream.next().await.unwrap();
    for ping in [&first, &ping] {
        assert_eq!((&*ping.event, &*ping.data), ("ping", r#"{"interval":30}"#));
    }
    assert_eq!(ping.last_event_id, state.last_event_id);
    let passed = begun.elapsed();
    assert!((INTERVAL..INTERVAL * 11 / 10).contains(&passed), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn client_that_wants_no_ping_receives_comments_alone() {
    let app = app();
    let mut stream = open(&app, "types=Email&closeafter=no&ping=0", "").await;
    stream.next().await.unwrap();
    let mut body = stream.into_body();
    for _ in 0..10 {
        let frame = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, ": \n");
    }
}

/// JMAP has no event for a gap, so the client gets the states of all its types instead.
#[tokio::test(start_paused = true)]
async fn client_with_an_unknown_id_receives_all_states() {
    let (former, app, query) = (app(), app(), "types=Email,Mailbox&closeafter=state&ping=0");
    let of_former = open(&former, query, "").await.rest().await[0].last_event_id.to_string();
    change(&app, "Email").await;
    for id in [&*of_former, "garbage"] {
        let [states] = open(&app, query, id).await.rest().await.try_into().unwrap();
        is_state(&states, json!({ "Email": "1", "Mailbox": "0" }));
    }
}

#[tokio::test]
async fn invalid_queries_are_refused() {
    let app = app();
    for query in [
        "types=Emails&closeafter=no&ping=0",
        "closeafter=no&ping=0",
        "types=Email&closeafter=yes&ping=0",
        "types=Email&closeafter=no&ping=-1",
    ] {
        let answer = send(&app, Request::get(format!("/jmap/eventsource?{query}"))).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
    }
}
