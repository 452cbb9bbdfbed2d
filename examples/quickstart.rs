//! The first program of the README.
//!
//! cargo run --example quickstart --features axum,hub
//!
//! Set `PORT` to use another port.

use axum::serve::ListenerExt;
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tower_sse::{LastEventId, SseLayer, hub::Hub};

#[tokio::main]
async fn main() -> Result<(), tower_sse::BoxError> {
    let app = Router::new()
        .route("/events", get(subscribe).post(publish))
        .layer(SseLayer::new()) // covers the routes above it
        .with_state(Hub::new());
    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app).await?)
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
