mod support;
use axum::{Router, response::IntoResponse, routing::get};
use futures_util::stream;
use tower_sse::{Event, SseLayer};
async fn events() -> impl IntoResponse {
    tower_sse::response(stream::iter([Event::from("hello")]))
}
#[tokio::test]
async fn smoke() {
    let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
    let address = support::serve_axum(app).await;
    let response = support::client::get(address, "/events", &[]).await;
    println!("{:?}", response.headers());
    let events = support::EventReader::new(response).rest().await;
    assert_eq!(events[0].data, "hello");
}
