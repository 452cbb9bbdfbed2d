use tonic_web::GrpcWebLayer;

use super::application::{application, assert_streams, call};
use crate::*;

/// Over HTTP/1 it accepts only grpc-web calls, on either side of `SseLayer`.
#[tokio::test]
async fn grpc_web_around_everything_answers_400_to_event_streams() {
    for outside in [true, false] {
        let (app, sources) = application();
        let app = if outside {
            app.layer(SseLayer::new()).layer(GrpcWebLayer::new())
        } else {
            app.layer(GrpcWebLayer::new()).layer(SseLayer::new())
        };
        let response = call(&app, Requester::EventSource.request("/events")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "outside: {outside}");
        assert!(sources.is_empty());
    }
}

#[tokio::test]
async fn grpc_web_around_the_calls_alone_leaves_event_streams_alone() {
    let (events, mut sources) = application();
    let calls = Router::new().route("/call", axum::routing::post(|| async {}));
    let app = calls.layer(GrpcWebLayer::new()).merge(events).layer(SseLayer::new());
    let mut connection = connect_h1(serve_axum(app).await).await;

    let request = Requester::EventSource.request("/events");
    let response = connection.send_request(request).await.unwrap();
    assert_streams(response, sources.next().await).await;
}
