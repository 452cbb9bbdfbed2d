//! cargo run --example existing_axum --all-features
//!
//! curl -N http://127.0.0.1:3000/messages
//! curl http://127.0.0.1:3000/messages --data 'hello'
//!
//! An existing chat with axum's own `Sse`, to which only the layer and a shutdown were added. The
//! layer adds the headers for proxies and the heartbeats, so you don't need axum's `KeepAlive`.
//!
//! Set `PORT` to use another port.

use std::{env, io, process, time::Duration};

use axum::{
    BoxError, Router,
    extract::State,
    http::StatusCode,
    response::{Sse, sse::Event},
    routing::get,
    serve::ListenerExt,
};
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tower_sse::SseLayer;

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
    let server = axum::serve(listener, app(shutdown.clone()))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

fn app(shutdown: CancellationToken) -> Router {
    routes().layer(SseLayer::new().shutdown(shutdown))
}

/// Returns the application as it was.
fn routes() -> Router {
    let (room, _) = broadcast::channel(100);
    Router::new().route("/messages", get(listen).post(say)).with_state(room)
}

type Room = broadcast::Sender<String>;

async fn say(State(room): State<Room>, text: String) -> StatusCode {
    // Sending fails if there is no listener, which isn't the author's error.
    let _ = room.send(text);
    StatusCode::NO_CONTENT
}

async fn listen(State(room): State<Room>) -> Sse<impl Stream<Item = Result<Event, BoxError>>> {
    // A listener that is too slow for the room gets an error, which ends the stream.
    let messages = BroadcastStream::new(room.subscribe());
    Sse::new(messages.map(|text| Ok(Event::default().event("message").json_data(text?)?)))
}
