//! cargo run --example notes --all-features
//!
//! curl -N http://127.0.0.1:3000/notes
//! curl http://127.0.0.1:3000/notes --data 'milk'
//!
//! State from a database, and then live. A stream begins with a `backlog` event that has all notes,
//! and goes on with new ones. A note that is added in between can come twice. Each has its row's
//! number, so a page can drop the second. A client that reconnects receives what it missed. If the
//! hub no longer has it, the client receives a `gap` event, and the backlog again. A client that
//! reads too slowly is disconnected at a gap, and comes back for the backlog.
//!
//! The database here is a list in memory. What matters is the order: first the position, then the
//! query; first the commit, then the event. A query that fails should be answered with a `Refusal`,
//! as in the example `notifications`: an error status would stop an `EventSource` for good.
//!
//! Set `PORT` to use another port.

use std::{
    env, io, process,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use serde::Serialize;
use tokio::{net::TcpListener, task::yield_now};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, Json, LastEventId, SseLayer,
    hub::{GapPolicy, Hub},
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(Hub::new(), Database::default(), layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

fn app(hub: Hub, database: Database, layer: SseLayer) -> Router {
    Router::new().route("/notes", get(notes).post(add)).layer(layer).with_state((hub, database))
}

async fn notes(
    State((hub, database)): State<(Hub, Database)>,
    last: Option<LastEventId>,
) -> Response {
    let position = hub.position();
    match Event::new().event("backlog").json_data(&database.notes().await) {
        Ok(backlog) => {
            let notes = hub.subscribe_to("notes").gap_policy(GapPolicy::ReportAndEnd);
            notes.since(position).greeting(backlog).resume(last).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn add(State((hub, database)): State<(Hub, Database)>, text: String) -> Response {
    // The server drops this handler if its client leaves, but not the task, so a committed note is
    // always published.
    let adding = tokio::spawn(async move {
        let note = database.insert(text).await;
        hub.publish("notes", Json::new(note)).await
    });
    match adding.await {
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Clone, Serialize)]
struct Note {
    row: u64,
    text: String,
}

/// Stands for a database: other requests run while a query does.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Vec<Note>>>);

impl Database {
    async fn notes(&self) -> Vec<Note> {
        yield_now().await;
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        yield_now().await;
        notes
    }

    async fn insert(&self, text: String) -> Note {
        let note = {
            let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let note = Note { row: notes.len() as u64 + 1, text };
            notes.push(note.clone());
            note
        };
        yield_now().await;
        note
    }
}
