//! cargo run --example chat --all-features
//!
//! Then open http://127.0.0.1:3000 in two browsers. Set `PORT` to use another port.
//!
//! A chat with rooms, private messages, and messages to all rooms. A page has one event stream over
//! three topics of a [`Hub`], and posts what its user writes. Reload a page, or cut its connection
//! for a moment: no message is missing or duplicate, including those sent in the meantime.
//!
//! The hub is in memory. After a restart a page keeps its messages, adds a divider, and continues
//! with those of the new server. The example `chat_cluster` is this chat on several processes.

mod message;
mod name;

use std::{env, io, process, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, LastEventId, Retention, SseLayer,
    hub::{Hub, HubBuilder},
    page,
};

use self::{
    message::{Message, To},
    name::Name,
};

/// The number of recent messages that a page starts with, counted over all its topics.
const RECENT: usize = 50;
/// The maximum size of a post in bytes: more than the longest text takes when escaped.
const MAX_POST_SIZE: usize = 16 * 1024;
/// The time that a shutdown gives connections to end.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let hub = limits().build();
    run(hub).await
}

/// Returns the limits of the chat's hub. A page that is away for longer, or misses more messages of
/// a topic, receives a gap event.
pub(crate) fn limits() -> HubBuilder {
    Hub::builder().retention(Retention::new().events(1000).age(Duration::from_secs(24 * 3600)))
}

/// Serves the chat until SIGTERM or ctrl-c.
pub(crate) async fn run(hub: Hub) -> Result<(), BoxError> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    let layer = SseLayer::new()
        .retry(Duration::from_secs(1))
        .on_open(|| println!("a page has connected"))
        .shutdown(shutdown.clone());
    Ok(serve(listener, app(hub, layer), shutdown).await?)
}

/// Serves until `shutdown` is cancelled and all streams have ended; the layer ends them. The
/// deadline is for clients that do not read.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_late = async {
        shutdown.cancelled().await;
        sleep(DEADLINE).await;
    };
    tokio::select! {
        served = server => served,
        () = too_late => Ok(()),
    }
}

pub(crate) fn app(hub: Hub, layer: SseLayer) -> Router {
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .route("/events", get(events))
        .route("/messages", post(say).layer(DefaultBodyLimit::max(MAX_POST_SIZE)))
        .with_state(hub)
        .layer(layer.for_pages())
}

/// The room that a page shows, and its user. The example has no accounts: any client can take a
/// name and read its private messages. A real application takes the name from the session, and
/// checks here, before it subscribes, whether the user may enter the room.
#[derive(Deserialize)]
struct Visit {
    room: String,
    name: String,
}

/// A status and the error text of the invalid input. An extractor's rejection would also contain
/// fields and columns, which mean nothing to the page's user.
type Rejection = (StatusCode, String);

async fn events(
    State(hub): State<Hub>,
    Query(Visit { room, name }): Query<Visit>,
    last: Option<LastEventId>,
) -> Result<impl IntoResponse, Rejection> {
    let parse = |name: String| {
        Name::try_from(name).map_err(|invalid| (StatusCode::BAD_REQUEST, invalid.to_string()))
    };
    let (room, name) = (parse(room)?, parse(name)?);
    let topics = [To::All, To::Room(room), To::User(name)].map(|to| to.topic());
    Ok(hub.subscribe(topics).recent(RECENT).resume(last).response())
}

/// Publishes a message. The response does not contain it: the author's page receives it as an event,
/// as all other pages do.
async fn say(
    State(hub): State<Hub>,
    Json(message): Json<Value>,
) -> Result<(StatusCode, Json<Value>), Rejection> {
    let message: Message = serde_json::from_value(message)
        .map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    match message.publish(&hub).await {
        Ok(receipt) => {
            let heard_by = json!({ "subscribers": receipt.subscribers });
            Ok((StatusCode::ACCEPTED, Json(heard_by)))
        }
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}
