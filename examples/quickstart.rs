//! The first program of the README.
//!
//! cargo run --example quickstart --features axum,hub
//!
//! Set `PORT` to use another port.

use std::{io, time::Duration};

use axum::serve::ListenerExt;
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::{net::TcpListener, signal, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{LastEventId, SseLayer, hub::Hub};

#[tokio::main]
async fn main() -> io::Result<()> {
    let shutdown = CancellationToken::new();
    let app = Router::new()
        .route("/events", get(subscribe).post(publish))
        .layer(SseLayer::new().shutdown(shutdown.clone())) // covers the routes above it
        .with_state(Hub::new());
    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! { served = server => served, stopped = stop(shutdown) => stopped }
}

/// Ends the streams at Ctrl-C or SIGTERM. Returns at a deadline, even if a client doesn't read.
async fn stop(shutdown: CancellationToken) -> io::Result<()> {
    #[cfg(unix)]
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminated = signal::windows::ctrl_close()?;
    tokio::select! { it = signal::ctrl_c() => it?, _ = terminated.recv() => {} }
    shutdown.cancel();
    sleep(Duration::from_secs(10)).await;
    Ok(())
}

async fn subscribe(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

async fn publish(State(hub): State<Hub>, text: String) -> impl IntoResponse {
    match hub.publish("news", text).await {
        Ok(receipt) => (StatusCode::OK, format!("{}\n", receipt.id())),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
