use axum::{Router, extract::State, response::IntoResponse, routing::get};
use tower_sse::{Event, LastEventId, SseLayer, hub::Hub};

/// Returns an event that appends this HTML to the list.
pub(crate) fn append(html: &str) -> Event {
    let mut data = String::from("mode append\nselector #list");
    // A lone CR begins a new line too, in which a user could set a selector.
    for line in html.lines().flat_map(|line| line.split('\r')) {
        data.push_str("\nelements ");
        data.push_str(line);
    }
    Event::new().event("datastar-patch-elements").data(data)
}

pub(crate) fn app(hub: Hub) -> Router {
    Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub)
}

async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}
