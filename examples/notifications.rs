//! cargo run --example notifications --all-features
//!
//! curl -N http://127.0.0.1:3000/connect/alice
//! curl http://127.0.0.1:3000/notify/alice --data 'your parcel has arrived'
//! curl http://127.0.0.1:3000/notify --data 'for all clients'
//! curl http://127.0.0.1:3000/jobs/alice --data 'the words of this text are counted'
//!
//! Press ctrl-c in the first, send some more, and reconnect with the ID of an earlier answer, as a
//! browser does by itself:
//!
//! curl -N http://127.0.0.1:3000/connect/alice -H 'Last-Event-ID: …'
//!
//! Any part of a program can notify a client by its ID. Without a hub, it needs a map from IDs to
//! senders, and a task that owns the map and handles messages such as AddClient, SendMessage and
//! RemoveClient. Here a client is added by subscribing to its own topic and notified by publishing
//! to it. It is removed when its subscription is dropped. Two tabs of one client both receive
//! everything, and a slow client delays no other. A client that reconnects receives the events that
//! it missed, or an event `gap` if they are no longer kept.
//!
//! Set `PORT` to use another port.

use std::{env, io, process};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};
use tower_sse::{
    Event, LastEventId, SseLayer,
    hub::{Hub, PublishError, Receipt},
};

/// The topic that every client subscribes to.
const EVERY_CLIENT: &str = "all";

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: Nagle's algorithm would delay each one until the client's ACK.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, app(Hub::new())).await
}

fn app(hub: Hub) -> Router {
    let (jobs, accepted) = mpsc::channel(100);
    tokio::spawn(work(hub.clone(), accepted));
    Router::new()
        .route("/connect/{client_id}", get(connect))
        .route("/notify/{client_id}", post(notify))
        .route("/notify", post(notify_all))
        .with_state(hub)
        .route("/jobs/{client_id}", post(accept))
        .with_state(jobs)
        .layer(SseLayer::new())
}

/// The ID of a client. The example trusts it: authenticate clients in a layer of your own.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ClientId(String);

impl TryFrom<String> for ClientId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        // Any ID can create a topic.
        let fits = (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        fits.then_some(Self(id))
            .ok_or("a client's id has 1 to 64 letters, digits, `-`, `_` and `.`")
    }
}

impl ClientId {
    /// Returns the client's topic. The prefix keeps it apart from [`EVERY_CLIENT`].
    fn topic(&self) -> String {
        format!("client:{}", self.0)
    }
}

async fn connect(
    State(hub): State<Hub>,
    Path(client): Path<ClientId>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    // Without a first event a client would have no ID to reconnect with.
    let greeting = Event::new().event("connected").data(&client.0);
    let topics = [EVERY_CLIENT, &client.topic()];
    hub.subscribe(topics).greeting(greeting).resume(last).response()
}

async fn notify(State(hub): State<Hub>, Path(client): Path<ClientId>, text: String) -> Response {
    answer(hub.publish(&client.topic(), notification(text)).await)
}

async fn notify_all(State(hub): State<Hub>, text: String) -> Response {
    answer(hub.publish(EVERY_CLIENT, notification(text)).await)
}

fn notification(text: String) -> Event {
    Event::new().event("notification").data(text)
}

/// Returns whether the client was subscribed, and the ID of the event.
fn answer(published: Result<Receipt, PublishError>) -> Response {
    match published {
        Ok(receipt) => {
            let (id, subscribers) = (receipt.id(), receipt.subscribers());
            let connected = subscribers > 0;
            let answer =
                json!({ "id": id.as_str(), "connected": connected, "streams": subscribers });
            Json(answer).into_response()
        }
        // The hub was closed: this process accepts no more events.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

struct Job {
    client: ClientId,
    text: String,
}

async fn accept(
    State(jobs): State<mpsc::Sender<Job>>,
    Path(client): Path<ClientId>,
    text: String,
) -> StatusCode {
    match jobs.try_send(Job { client, text }) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Another part of the program, which knows nothing of HTTP: it has the hub and a client's ID.
async fn work(hub: Hub, mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job { client, text }) = jobs.recv().await {
        let words = text.split_whitespace().count();
        let done = Event::new().event("counted").data(words.to_string());
        // A client that has disconnected meanwhile gets this when it reconnects.
        if let Err(error) = hub.publish(&client.topic(), done).await {
            eprintln!("{} cannot be notified: {error}", client.0);
        }
    }
}
