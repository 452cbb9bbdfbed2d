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
    serve(listener, routes()).await
}

/// Serves until Ctrl-C or SIGTERM, then until all streams have ended, for at most 10 seconds.
async fn serve(listener: TcpListener, routes: Router) -> io::Result<()> {
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    // With Nagle's algorithm, each event would wait for the ACK of the one before.
    let listener = listener.tap_io(|io| _ = io.set_nodelay(true));
    let server = axum::serve(listener, routes.layer(layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // The deadline is for clients that don't read, or that have sent half a request.
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

/// Returns the application as it was before the layer was added.
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
