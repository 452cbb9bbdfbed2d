//! The first program of the README, with the shutdown that the README adds.
//!
//! cargo run --example quickstart --features axum,hub,signal
//!
//! Set `PORT` to use another port.

use axum::serve::ListenerExt;
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tower_sse::{LastEventId, SseLayer, hub::Hub};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let shutdown = tokio_util::sync::CancellationToken::new();
    let app = Router::new()
        .route("/events", get(subscribe).post(publish))
        .layer(SseLayer::new().shutdown(shutdown.clone())) // covers the routes above it
        .with_state(Hub::new());
    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, std::time::Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

async fn subscribe(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

async fn publish(State(hub): State<Hub>, text: String) -> Result<String, StatusCode> {
    let receipt = hub.publish("news", text).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("{}\n", receipt.id()))
}
