use axum::{body::Body, extract::Request};
use http::HeaderName;
use tower_http::cors::CorsLayer;

use super::application::{Place, assert_streams, call, open_served};
use crate::*;

const ORIGIN: &str = "https://page.example";

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static(ORIGIN)])
        .allow_methods([Method::GET])
        .allow_headers([HeaderName::from_static("last-event-id")])
        .allow_credentials(true)
}

#[tokio::test]
async fn cors_headers_are_kept() {
    for place in Place::BOTH {
        let app = place.compose(SseLayer::new(), cors());
        let (response, source) = open_served(app, &[("origin", ORIGIN)]).await;
        assert_eq!(response.headers()["access-control-allow-origin"], ORIGIN, "{place:?}");
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        assert_eq!(response.headers()["vary"], "origin");
        assert_streams(response, source).await;
    }
}

/// Browsers send a preflight when they reconnect with an ID that is over 128 bytes or has unsafe
/// characters.
#[tokio::test]
async fn preflight_for_a_last_event_id_passes() {
    for place in Place::BOTH {
        let (app, sources) = place.compose(SseLayer::new(), cors());
        let preflight = Request::options("/events")
            .header("origin", ORIGIN)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "last-event-id")
            .body(Body::empty())
            .unwrap();

        let response = call(&app, preflight).await;
        assert_eq!(response.status(), StatusCode::OK, "{place:?}");
        assert_eq!(response.headers()["access-control-allow-origin"], ORIGIN);
        assert_eq!(response.headers()["access-control-allow-methods"], "GET");
        assert_eq!(response.headers()["access-control-allow-headers"], "last-event-id");
        assert!(!response.headers().contains_key("x-accel-buffering"), "it is no event stream");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
        assert!(sources.is_empty(), "a preflight opens no stream");
    }
}
