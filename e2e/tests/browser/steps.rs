//! Tests that events pass one at a time, whatever the machine's speed: each event is created once
//! the page has received the previous one.

use axum::routing::{get, post};

use crate::*;

fn app() -> Router {
    Router::new()
        .route("/", get(Html("<title>steps</title>")))
        .route("/events", get(events))
        .route("/next", post(async |State(next): State<Arc<Notify>>| next.notify_one()))
        .with_state(Arc::default())
        .layer(SseLayer::new())
}

async fn events(State(next): State<Arc<Notify>>) -> impl IntoResponse {
    tower_sse::response(stream! {
        for id in 1.. {
            next.notified().await;
            yield Event::new().id(id).data("step");
        }
    })
}

#[tokio::test]
async fn browser_receives_each_event_through_nginx_before_the_next_is_made() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let server = serve_axum(app()).await;
    // With the default settings of proxies.
    let nginx = Proxy::nginx(&nginx, &format!("server {server};"), "").await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", nginx.address)).await;
    let seen = browser
        .answer(
            "const answer = arguments[arguments.length - 1], seen = [];
            const source = new EventSource('events');
            const saw = what => {
                seen.push(what);
                if (seen.length < 6) {
                    fetch('next', { method: 'POST' });
                } else {
                    source.close();
                    answer(seen);
                }
            };
            source.onopen = () => saw('open');
            source.onmessage = event => saw(event.lastEventId);",
        )
        .await;
    assert_eq!(seen, Some(json!(["open", "1", "2", "3", "4", "5"])));
}
