use http::HeaderName;
use tower_http::{cors::CorsLayer, set_header::SetResponseHeaderLayer};

use super::{RefusalCause, event_source, full, refusing, two_seconds};
use crate::*;

#[test]
fn headers_of_the_service_are_kept_and_those_of_its_body_removed() {
    for request in [event_source(), Request::new(())] {
        let (layer, _kept) = full(Refusal::per_client());
        let mut answer = event_stream(Feed::new().1)
            .with_header("access-control-allow-origin", "https://page.example")
            .with_header("access-control-expose-headers", "x-request-id")
            .with_header("x-request-id", "7")
            .with_header("vary", "origin")
            .with_header("set-cookie", "session=1")
            .with_header("content-length", "9")
            .with_header("etag", "\"7\"")
            .with_header("connection", "close");
        answer.headers_mut().append("set-cookie", HeaderValue::from_static("theme=dark"));
        let response = answer_to(request, &layer, answer);
        assert!(matches!(response.status().as_u16(), 200 | 503));
        for name in [
            "access-control-allow-origin",
            "access-control-expose-headers",
            "x-request-id",
            "vary",
            "set-cookie",
        ] {
            assert!(response.headers().contains_key(name), "{name} is the service's");
        }
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        for name in ["content-length", "etag", "connection"] {
            assert!(!response.headers().contains_key(name), "{name} is the stream's");
        }
    }
}

/// A `retry` line is not gzip, whatever the stream would have been.
#[test]
fn refusal_in_place_of_a_compressed_stream_is_not_compressed() {
    for request in [event_source(), Request::new(())] {
        let (layer, _kept) = full(two_seconds(Refusal::per_client()));
        let answer = event_stream(Feed::new().1).with_header("content-encoding", "gzip");
        let response = answer_to(request, &layer, answer);
        assert!(!response.headers().contains_key("content-encoding"), "{}", response.status());
    }
}

#[test]
fn inner_and_outer_layers_can_change_a_refusal() {
    let (layer, _kept) = refusing::<Bodies>(RefusalCause::Shutdown, Refusal::per_client());
    let origin = HeaderValue::from_static("https://page.example");
    let header = |name: &'static str| {
        SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static("here"),
        )
    };
    let mut service = ServiceBuilder::new()
        .layer(header("x-outside"))
        .layer(layer)
        .layer(header("x-inside"))
        .layer(CorsLayer::new().allow_origin(origin.clone()))
        .service_fn(|_: Request<()>| {
            let response = tower_sse::response(Source::new().1);
            ready(Ok::<_, Infallible>(response.map(axum::body::Body::new)))
        });
    let mut request = Request::new(());
    request.headers_mut().insert("origin", origin.clone());
    let Ok(response) = service.call(request).now_or_never().unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["x-outside"], "here");
    assert_eq!(response.headers()["x-inside"], "here");
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
}
