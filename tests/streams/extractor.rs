//! `Subjects` as an extractor, and where subjects can be added.

use axum::body::Body;
use tower_sse::streams::Streams;

use super::*;
use crate::*;

fn routes() -> Router {
    let handler = async |subjects: Subjects| {
        subjects.add("a");
        tower_sse::response(futures_util::stream::pending::<tower_sse::Event>()).into_response()
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn extractor_adds_subjects_to_the_stream() {
    let streams = Streams::new();
    let app = routes().layer(SseLayer::new().streams(&streams));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(streams.count("a"), 1);
    assert_eq!(now(streams.close("a")), 1);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn without_streams_the_extractor_answers_500() {
    let app = routes().layer(SseLayer::new());
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("SseLayer::streams"), "{text}");
}

#[tokio::test]
async fn middleware_outside_of_the_layer_adds_subjects() {
    let streams = Streams::new();
    let app = routes().layer(SseLayer::new().streams(&streams));
    let mut request = Request::new(Body::empty());
    streams.subjects_of(&mut request).add("b");
    let response = app.oneshot(request).await.unwrap();
    assert_eq!((streams.count("a"), streams.count("b")), (1, 1));
    assert_eq!(now(streams.close("b")), 1);
    assert_eq!(streams.count("a"), 0);
    drop(response);
}
