use tower_sse::IntoSse;

use crate::*;

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
fn client_that_does_not_accept_events_gets_a_406() {
    let (feed, body) = Feed::new();
    let answer = event_stream(body)
        .with_header("vary", "origin")
        .with_header("access-control-allow-origin", "https://page.example")
        .with_header("content-length", "9")
        .with_header("content-encoding", "gzip")
        .with_header("etag", "\"7\"");
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
fn client_that_accepts_events_or_sends_no_accept_gets_them() {
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
fn stream_with_another_status_passes_whatever_is_accepted() {
    for status in [401, 404, 204] {
        let answer = event_stream(Full::<Bytes>::default()).with_status(status);
        let response = answer_to(accepting(Some("application/json")), &strict(), answer);
        assert_eq!(response.status(), status);
    }
}

/// Calls a service that answers with `answer`, and returns the status and the number of calls.
fn call<M, R>(accept: &'static str, answer: R) -> (StatusCode, usize)
where
    R: IntoSse<M>,
{
    let mut calls = 0;
    let response = answer_by(accepting(Some(accept)), &strict(), |_| {
        calls += 1;
        answer
    });
    (response.status(), calls)
}

#[test]
fn service_of_bare_streams_is_not_called_for_a_406() {
    let events = || stream::iter([Event::from("one")]);
    assert_eq!(call("application/json", events()), (StatusCode::NOT_ACCEPTABLE, 0));
    assert_eq!(call("text/event-stream", events()), (StatusCode::OK, 1));
    let response = answer_to(accepting(Some("application/json")), &strict(), events());
    assert_eq!(response.headers()["vary"], "accept");
    assert!(response.body().is_end_stream());
}

/// The status is for the service to choose: `401` ends an `EventSource`, as it should.
#[test]
fn services_own_status_takes_precedence_over_a_406() {
    let answer = || Response::new(stream::iter([Event::from("one")]));
    for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::NO_CONTENT] {
        let answer = answer().with_status(status.as_u16());
        assert_eq!(call("application/json", answer), (status, 1));
    }
    assert_eq!(call("application/json", answer()).0, StatusCode::NOT_ACCEPTABLE);
}
