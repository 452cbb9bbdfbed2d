//! cargo run --example jmap_push --features axum,hub,signal
//!
//! curl -N 'http://127.0.0.1:3000/jmap/eventsource?types=Email,Mailbox&closeafter=no&ping=30'
//! curl http://127.0.0.1:3000/changes/Email -X POST
//!
//! The push of a JMAP server (RFC 8620, 7.3): a client learns that something has changed, and then
//! fetches it with `Email/changes`. An event is a state and not a message, so the hub keeps only
//! the newest event of each type. A client that reconnects gets the newest state of each type that
//! changed while it was away. A client without an id, or with an id from before a restart of this
//! program, gets the states of all its types.
//!
//! With `closeafter=state`, each response ends after the events that are due, or after five minutes
//! without one, for clients behind a proxy that holds responses back until they end.
//!
//! Set `PORT` to use another port. A real server authenticates its clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, io, time::Duration};

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Router, http::StatusCode, response::IntoResponse, serve::ListenerExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::hub::{GapPolicy, Hub};
use tower_sse::{Event, Heartbeat, LastEventId, Retention, SseLayer, StreamOptions};

const ACCOUNT: &str = "a1";
const TYPES: [&str; 3] = ["Email", "Mailbox", "Thread"];
/// The longest time that a client waits for a change with `closeafter=state`.
const MAX_WAIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let app = routes(Server::default()).layer(SseLayer::new().shutdown(shutdown.clone()));
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn routes(server: Server) -> Router {
    Router::new()
        .route("/jmap/eventsource", get(event_source))
        .route("/changes/{kind}", post(change))
        .with_state(server)
}

/// The state of each type.
type States = BTreeMap<&'static str, u64>;

#[derive(Clone)]
pub(crate) struct Server {
    hub: Hub,
    /// Stands for a database.
    states: Arc<Mutex<States>>,
}

impl Server {
    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Server {
    fn default() -> Self {
        let hub = Hub::builder().retention(Retention::latest()).build();
        let states = TYPES.map(|kind| (kind, 0)).into();
        Self { hub, states: Arc::new(Mutex::new(states)) }
    }
}

/// The query of the URL. JMAP clients fill in all of it.
#[derive(Deserialize)]
struct Push {
    /// Names that commas separate, or `*`.
    types: String,
    closeafter: CloseAfter,
    ping: u64,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum CloseAfter {
    State,
    No,
}

async fn event_source(
    State(server): State<Server>,
    Query(push): Query<Push>,
    last: Option<LastEventId>,
) -> Result<impl IntoResponse, StatusCode> {
    let is_chosen = |kind: &&str| push.types == "*" || push.types.split(',').any(|it| it == *kind);
    let types: Vec<_> = TYPES.into_iter().filter(is_chosen).collect();
    if types.is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let mut options = StreamOptions::new();
    if push.closeafter == CloseAfter::State {
        options = options.long_poll(MAX_WAIT);
    }
    if push.ping > 0 {
        let interval = push.ping.clamp(30, 300); // the narrowest range that the RFC allows
        let ping = Heartbeat::every(Duration::from_secs(interval));
        options =
            options.heartbeat(ping.event("ping", json!({ "interval": interval }).to_string()));
    }
    let position = server.hub.position(); // before the states
    let mut states = server.states().clone();
    states.retain(|kind, _| types.contains(kind));
    let changes = server.hub.subscribe(types).gap_policy(GapPolicy::ReportAndEnd);
    let changes = changes.since(position).start_event(false).greeting(state_change(&states));
    // JMAP has no event for a gap: the stream ends, and a client that returns gets all states.
    Ok((options, changes.resume(last).view(|item| item.ok().map(Event::from)).response()))
}

/// Stands for a method that changes data.
async fn change(State(server): State<Server>, Path(kind): Path<String>) -> StatusCode {
    let mut states = server.states();
    let Some((kind, state)) = states.iter_mut().find(|(it, _)| **it == kind) else {
        return StatusCode::NOT_FOUND;
    };
    *state += 1;
    // Publish while `states` is locked, so that no older state replaces a newer one.
    match server.hub.publish_now(*kind, state_change(&[(*kind, *state)].into())) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn state_change(states: &States) -> Event {
    let states: BTreeMap<_, _> = states.iter().map(|(kind, it)| (kind, it.to_string())).collect();
    let change = json!({ "@type": "StateChange", "changed": { ACCOUNT: states } });
    Event::new().event("state").data(change.to_string())
}
