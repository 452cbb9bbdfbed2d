//! The compressor at the end of a body, and what the crate's bodies prevent.
//!
//! It polls a body again after its end. A stream that must not be polled again, such as one of
//! `unfold`, needs a body around it that keeps the end to itself.

use std::{convert::Infallible, io};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response, Sse, sse},
    routing::get,
};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use tower_sse::{Event, SseLayer};

use super::super::application::{call, get_request};
use super::everything;
use crate::support::event_stream;

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

/// Returns the length of the whole body.
async fn read(app: Router) -> usize {
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    response.into_body().collect().await.unwrap().to_bytes().len()
}

/// Answers with an event and an error that are ready at once.
async fn fails() -> Response {
    let items = [Ok("data: one\n\n"), Err(io::Error::other("disk full"))];
    event_stream(Body::from_stream(stream::iter(items)))
}

/// Returns whether any bytes came before the failure.
async fn has_data_before_its_failure(app: Router) -> bool {
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let mut body = call(&app.layer(everything()), request).await.into_body();
    let mut has_data = false;
    loop {
        match body.frame().await.expect("a failure") {
            Ok(_) => has_data = true,
            Err(_) => return has_data,
        }
    }
}

#[tokio::test]
async fn an_error_is_delayed_until_the_compressor_has_sent_the_ready_events() {
    let app = Router::new().route("/events", get(fails)).layer(SseLayer::new());
    assert!(has_data_before_its_failure(app).await);
}

#[tokio::test]
async fn our_body_over_unfold_does_not_panic_with_the_layer_or_without() {
    let without = Router::new().route("/events", get(ours));
    let with = without.clone().layer(SseLayer::new());
    for app in [without, with] {
        assert!(read(app).await > 0);
    }
}

#[tokio::test]
async fn the_layer_keeps_axums_own_sse_over_unfold_from_panicking() {
    let app = Router::new().route("/events", get(axums)).layer(SseLayer::new());
    assert!(read(app).await > 0);
}
