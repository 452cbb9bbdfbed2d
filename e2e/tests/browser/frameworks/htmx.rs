use axum::{
    Router,
    extract::State,
    response::{Html, IntoResponse},
    routing::get,
};
use tower_sse::{LastEventId, SseLayer, hub::Hub};

const PAGE: &str = r#"<!doctype html>
<script src="/assets/htmx.js"></script>
<script src="/assets/hx-sse.js"></script>
<ul hx-sse:connect="/events" hx-sse:close="done" hx-on:done="this.over = true" hx-swap="beforeend"
    hx-trigger="load, every 5s [!this.over]" hx-sync="drop" hx-vals="js:tab:Math.random()"
    hx-status:4xx="swap:none" hx-status:5xx="swap:none"></ul>"#;

pub(crate) fn app(hub: Hub) -> Router {
    Router::new()
        .route("/events", get(events))
        .layer(SseLayer::new().for_pages())
        .route("/", get(Html(PAGE)))
        .with_state(hub)
}

async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response() // the events are HTML, such as `<li>one</li>`
}
