//! cargo run --example beacon_events --features axum,hub,signal
//!
//! curl -N 'http://127.0.0.1:3000/eth/v1/events?topics=head,block'
//! curl http://127.0.0.1:3000/node/head --json '{"slot": "10", "block": "0x9a"}'
//!
//! The events of an Ethereum beacon node (`/eth/v1/events` of its API). The client chooses topics
//! in the query, and an event has its topic's name. A topic that doesn't exist is answered with
//! `400`.
//!
//! The API has no other events, and some clients fail at a name that they don't know. So the hub's
//! own events become ids alone, which clients don't show. At a gap, the stream ends: a client that
//! reconnects knows that it may have missed something.
//!
//! Set `PORT` to use another port.

use std::{env, io, time::Duration};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, http::StatusCode, serve::ListenerExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::hub::{GapPolicy, Hub};
use tower_sse::{Event, LastEventId, SseLayer};

const TOPICS: [&str; 5] = ["attestation", "block", "chain_reorg", "finalized_checkpoint", "head"];

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let app = routes(Hub::new()).layer(SseLayer::new().shutdown(shutdown.clone()));
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn routes(hub: Hub) -> Router {
    Router::new()
        .route("/eth/v1/events", get(events))
        .route("/node/{topic}", post(publish))
        .with_state(hub)
}

/// The topics are a list with commas, or the parameter is repeated.
async fn events(
    State(hub): State<Hub>,
    Query(query): Query<Vec<(String, String)>>,
    last: Option<LastEventId>,
) -> Response {
    let lists = query.iter().filter(|(name, _)| name == "topics");
    let topics: Vec<_> = lists.flat_map(|(_, topics)| topics.split(',')).collect();
    if topics.is_empty() {
        return invalid("no topics");
    }
    if let Some(unknown) = topics.iter().find(|topic| !TOPICS.contains(topic)) {
        return invalid(&format!("Invalid topic: {unknown}"));
    }
    let events = hub.subscribe(topics).gap_policy(GapPolicy::ReportAndEnd);
    // A client that returns too late begins at the newest event. Otherwise, clients such as
    // Firefox, which forget the id of an event without data, would get the same gap at each return.
    let events = events.since(hub.position());
    // The greeting gives a client an id before the first event.
    let events = events.start_event(false).greeting(Event::new().event("id").data("{}"));
    let events = events.resume(last).view(|item| match item {
        Ok(event) if TOPICS.contains(&&*event.event) => Some(event.into()),
        _ => Some(Event::new()), // an id alone
    });
    events.response().into_response()
}

fn invalid(message: &str) -> Response {
    let error = json!({ "code": 400, "message": message });
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}

/// Stands for the node's own work.
async fn publish(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    Json(data): Json<Value>,
) -> StatusCode {
    let Some(topic) = TOPICS.into_iter().find(|it| *it == topic) else {
        return StatusCode::NOT_FOUND;
    };
    match hub.publish(topic, Event::new().event(topic).data(data.to_string())).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
