//! `Disconnect` as an extractor, feature `axum`.

use axum::{body::Body, response::Response};

use crate::*;

fn tracking() -> SseLayer {
    SseLayer::new().track_disconnects(true)
}

async fn call(app: Router) -> Response {
    app.oneshot(Request::new(Body::empty())).await.unwrap()
}

#[tokio::test]
async fn without_tracking_the_answer_is_a_500_that_names_the_method() {
    for layer in [None, Some(SseLayer::new()), Some(tracking().track_disconnects(false))] {
        let handler = async |_: Disconnect| -> &'static str { panic!("there is none") };
        let mut app = Router::new().route("/", get(handler));
        if let Some(layer) = layer {
            app = app.layer(layer);
        }
        let response = call(app).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.contains("SseLayer::track_disconnects(true)"), "{body}");
    }
}

#[tokio::test]
async fn handler_can_ask_for_the_rejection() {
    async fn handler(result: Result<Disconnect, (StatusCode, &'static str)>) -> &'static str {
        result.err().map_or("found", |(_, text)| text)
    }

    let app: Router = Router::new().route("/", get(handler));
    for (app, expected) in [(app.clone().layer(tracking()), "found"), (app, "no `Disconnect`")] {
        let body = call(app).await.into_body().collect().await.unwrap().to_bytes();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.starts_with(expected), "{body}");
    }
}
