//! The kind of client that the layer infers from a request.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::{Router, routing::get};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_sse::{SseLayer, hub::Hub};

use crate::origin::{TOPIC, set};

/// Infers the kind from how a layer at its limit of streams refuses this client's request. If the
/// refusal is an error status, infers the kind from the request's headers.
pub(crate) async fn kind(client: &str, head: &HeaderMap) -> &'static str {
    let hub = Hub::new();
    let events = async move || hub.subscribe_to(TOPIC).resume(None).response();
    let layer = set(client, SseLayer::new().max_streams(1));
    let routes = Router::new().route("/", get(events)).layer(layer);
    let _occupant = routes.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await;
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    *request.headers_mut() = head.clone();
    let refusal = routes.oneshot(request).await.unwrap();
    if refusal.status() != StatusCode::OK {
        let names_type = |it: &HeaderValue| it.to_str().is_ok_and(|it| it.contains("event-stream"));
        let is_fetch = head.contains_key("sec-fetch-mode");
        return match is_fetch && head.get_all("accept").iter().any(names_type) {
            true => "`fetch`",
            false => "another `GET`",
        };
    }
    let body = refusal.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    if text.contains("data") { "library" } else { "`EventSource`" }
}
