//! `Subjects` as an extractor, and where subjects can be added.

use axum::body::Body;
use tower_sse::streams::Streams;

use super::*;
use crate::*;

fn routes() -> Router {
    let handler = async |subjects: Subjects| {
        subjects.add("a");
        tower_sse::response(stream::pending::<Event>())
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn extractor_and_middleware_add_subjects_to_the_stream() {
    let streams = Streams::new();
    let app = routes().layer(SseLayer::new().streams(&streams));
    let mut request = Request::new(Body::empty());
    streams.subjects_of(&mut request).add("outside of the layer");
    let response = app.oneshot(request).await.unwrap();
    assert_eq!((streams.count("a"), streams.count("outside of the layer")), (1, 1));
    assert_eq!(now(streams.close("a")), 1);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(streams.subjects(), []);
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
