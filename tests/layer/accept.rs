use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{Event, IntoSse, SseLayer};

use crate::support::*;

fn strict<M>() -> SseLayer<M> {
    SseLayer::new().require_accept(true)
}

fn accepting(accept: Option<&'static str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(accept) = accept {
        request.headers_mut().insert("accept", HeaderValue::from_static(accept));
    }
    request
}

#[test]
fn a_client_that_does_not_accept_events_gets_a_406() {
    let (feed, body) = Feed::new();
    let mut answer = event_stream(body);
    for (name, value) in [
        ("vary", "origin"),
        ("access-control-allow-origin", "https://page.example"),
        ("content-length", "9"),
        ("content-encoding", "gzip"),
        ("etag", "\"7\""),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let response = answer_to(accepting(Some("application/json")), &strict(), answer);

    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    assert_eq!((feed.is_dropped(), feed.polls()), (true, 0), "the source is dropped unpolled");
    assert!(response.body().is_end_stream());
    assert_eq!(response.body().size_hint().exact(), Some(0));
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["origin", "accept"]);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://page.example");
    for name in ["content-type", "content-length", "content-encoding", "etag"] {
        assert!(!response.headers().contains_key(name), "{name} was the stream's");
    }
}

#[test]
fn a_client_that_accepts_events_or_sends_no_accept_gets_them() {
    for accept in [None, Some(""), Some("text/event-stream"), Some("text/html, */*;q=0.1")] {
        let response = answer_to(accepting(accept), &strict(), event_stream(Feed::new().1));
        assert_eq!(response.status(), StatusCode::OK, "{accept:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
    }
}

#[test]
fn accept_is_ignored_by_default() {
    let request = accepting(Some("application/json"));
    let response = answer_to(request, &SseLayer::new(), event_stream(Feed::new().1));
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn other_responses_pass_whatever_is_accepted() {
    let answer = Response::builder().header("content-type", "application/json");
    let answer = answer.body(Full::from("{}")).unwrap();
    let response = answer_to(accepting(Some("application/json")), &strict(), answer);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("vary"));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
}

#[test]
fn a_stream_with_another_status_passes_whatever_is_accepted() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::NO_CONTENT] {
        let mut answer = event_stream(Full::<Bytes>::default());
        *answer.status_mut() = status;
        let response = answer_to(accepting(Some("application/json")), &strict(), answer);
        assert_eq!(response.status(), status);
    }
}

/// Calls a service that answers with `answer`, and returns the status and the number of calls.
async fn call<M, R>(accept: &'static str, answer: impl Fn() -> R) -> (StatusCode, usize)
where
    R: IntoSse<M>,
{
    let calls = AtomicUsize::new(0);
    let service = service_fn(|_: Request<()>| {
        calls.fetch_add(1, SeqCst);
        std::future::ready(Ok::<_, Infallible>(answer()))
    });
    let response = strict().layer(service).oneshot(accepting(Some(accept))).await.unwrap();
    (response.status(), calls.load(SeqCst))
}

#[tokio::test]
async fn a_service_of_bare_streams_is_not_called_for_a_406() {
    let events = || stream::iter([Event::from("one")]);
    assert_eq!(call("application/json", events).await, (StatusCode::NOT_ACCEPTABLE, 0));
    assert_eq!(call("text/event-stream", events).await, (StatusCode::OK, 1));
    let response = answer_to(accepting(Some("application/json")), &strict(), events());
    assert_eq!(response.headers()["vary"], "accept");
    assert!(response.body().is_end_stream());
}

/// The status is for the service to choose: `401` ends an `EventSource`, as it should.
#[tokio::test]
async fn a_services_own_status_takes_precedence_over_a_406() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::NO_CONTENT] {
        let answer = || {
            let events = stream::iter([Event::from("one")]);
            Response::builder().status(status).body(events).unwrap()
        };
        assert_eq!(call("application/json", answer).await, (status, 1));
    }
    let events = || Response::new(stream::iter([Event::from("one")]));
    assert_eq!(call("application/json", events).await.0, StatusCode::NOT_ACCEPTABLE);
}
