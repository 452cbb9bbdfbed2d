//! The compressor at the end of a body, and what the crate's bodies prevent.
//!
//! It polls a body again after its end. A stream that must not be polled again, such as one of
//! `unfold`, needs a body around it that keeps the end to itself.

use axum::{
    body::Body,
    response::{Response, Sse, sse},
};

use super::{
    super::application::{call, get_request},
    everything,
};
use crate::*;

/// Returns a stream of two items that panics when it is polled after its end.
fn unfolded<T>(item: fn(&'static str) -> T) -> impl Stream<Item = T> {
    stream::unfold(["one", "two"].into_iter(), move |mut data| async move {
        Some((item(data.next()?), data))
    })
}

async fn axums() -> Response {
    let events = unfolded(|data| Ok::<_, Infallible>(sse::Event::default().data(data)));
    Sse::new(events).into_response()
}

async fn ours() -> Response {
    tower_sse::response(unfolded(Event::from)).into_response()
}

/// Answers with an event and an error that are ready at once.
async fn fails() -> Response {
    let items = [Ok("data: one\n\n"), Err(io::Error::other("disk full"))];
    event_stream(Body::from_stream(stream::iter(items)))
}

/// Returns whether the body has any bytes, and whether it fails.
async fn read(app: Router) -> (bool, bool) {
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (data, failure) = read_bytes(response.into_body()).await;
    (!data.is_empty(), failure.is_some())
}

#[tokio::test]
async fn error_is_delayed_until_the_compressor_has_sent_the_ready_events() {
    let app = Router::new().route("/events", get(fails)).layer(SseLayer::new());
    assert_eq!(read(app).await, (true, true));
}

#[tokio::test]
async fn our_body_over_unfold_does_not_panic_with_the_layer_or_without() {
    let without = Router::new().route("/events", get(ours));
    let with = without.clone().layer(SseLayer::new());
    for app in [without, with] {
        assert_eq!(read(app).await, (true, false));
    }
}

#[tokio::test]
async fn layer_keeps_axums_own_sse_over_unfold_from_panicking() {
    let app = Router::new().route("/events", get(axums)).layer(SseLayer::new());
    assert_eq!(read(app).await, (true, false));
}
