use crate::*;

fn events() -> impl Stream<Item = Event> + Unpin {
    stream::iter([Event::from("one")])
}

fn all(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut all: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    all.sort_unstable();
    all
}

const HEADERS: [(&str, &str); 4] = [
    ("cache-control", "no-cache, no-transform"),
    ("content-type", "text/event-stream"),
    ("incremental", "?1"),
    ("x-accel-buffering", "no"),
];

#[tokio::test]
async fn all_three_kinds_of_service_get_the_same_headers_and_no_others() {
    let bare = through(&SseLayer::new(), events());
    let with_head = through(&SseLayer::new(), Response::new(events()));
    let response = through(&SseLayer::new(), tower_sse::response(events()));
    let foreign = through(&SseLayer::new(), event_stream(Full::from("data: one\n\n")));

    for headers in [bare.headers(), with_head.headers(), response.headers(), foreign.headers()] {
        assert_eq!(all(headers), HEADERS);
    }
    let bodies = [
        bare.into_body().collect().await,
        with_head.into_body().collect().await,
        response.into_body().collect().await,
        foreign.into_body().collect().await,
    ];
    for body in bodies {
        assert_eq!(body.unwrap().to_bytes(), "data: one\n\n");
    }
}

#[tokio::test]
async fn axums_own_sse_gets_the_headers_and_keeps_its_body() {
    let events = [sse::Event::default().id("7").data("one"), sse::Event::default().comment("note")];
    let sse = || Sse::new(stream::iter(events.clone().map(Ok::<_, std::convert::Infallible>)));
    let without = sse().into_response().into_body().collect().await.unwrap().to_bytes();
    let response = through(&SseLayer::new(), sse().into_response());
    assert_eq!(all(response.headers()), HEADERS);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), without);
}

#[test]
fn response_of_a_stream_keeps_its_status_and_other_headers() {
    let answer = Response::builder()
        .status(StatusCode::CREATED)
        .header("content-type", "text/plain")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .body(events())
        .unwrap();
    let response = through(&SseLayer::new(), answer);
    assert_eq!(response.status(), StatusCode::CREATED);
    let cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2")];
    let expected: Vec<_> =
        HEADERS[..3].iter().chain(&cookies).chain(&HEADERS[3..]).copied().collect();
    assert_eq!(all(response.headers()), expected);
}

fn headers_of(present: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut answer = event_stream(Full::<Bytes>::default());
    for (name, value) in present {
        if *name == "content-type" {
            answer.headers_mut().remove(*name);
        }
        answer.headers_mut().append(*name, value.parse().unwrap());
    }
    through(&SseLayer::new(), answer).into_parts().0.headers
}

#[test]
fn content_type_with_parameters_becomes_the_bare_one() {
    for present in [
        "text/event-stream; charset=utf-8",
        "text/event-stream;charset=UTF-8",
        "Text/Event-Stream ; x=y",
    ] {
        assert_eq!(all(&headers_of(&[("content-type", present)])), HEADERS, "{present}");
    }
}

#[test]
fn cache_control_is_extended_and_not_replaced() {
    for (present, expected) in [
        (&[][..], &["no-cache, no-transform"][..]),
        (&[""], &["no-cache, no-transform"]),
        (&["no-cache"], &["no-cache, no-transform"]),
        (&["no-store"], &["no-store, no-transform"]),
        (&["private, max-age=0"], &["private, max-age=0, no-transform"]),
        (&["no-transform"], &["no-transform"]),
        (&["no-store,No-Transform"], &["no-store,No-Transform"]),
        (&["no-store", "private"], &["no-store, no-transform", "private"]),
        (&["no-store", "no-transform"], &["no-store", "no-transform"]),
    ] {
        let present: Vec<_> = present.iter().map(|value| ("cache-control", *value)).collect();
        let headers = headers_of(&present);
        let values: Vec<_> = headers.get_all("cache-control").iter().collect();
        assert_eq!(values, expected, "{present:?}");
    }
}

#[test]
fn handlers_own_x_accel_buffering_is_kept() {
    let headers = headers_of(&[("x-accel-buffering", "yes")]);
    assert_eq!(headers["x-accel-buffering"], "yes");
}

/// RFC 10036, section 3: the value is a Boolean of a structured field.
#[test]
fn handlers_own_incremental_is_kept() {
    for value in ["?0", "?1", "?1;a=1"] {
        let headers = headers_of(&[("incremental", value)]);
        assert_eq!(headers.get_all("incremental").iter().collect::<Vec<_>>(), [value]);
    }
}

#[test]
fn incremental_can_be_left_out() {
    let layer: SseLayer = SseLayer::new().incremental(false);
    for is_head in [false, true] {
        let method = if is_head { Method::HEAD } else { Method::GET };
        let request = Request::builder().method(method).body(()).unwrap();
        let response = answer_to(request, &layer, event_stream(Full::<Bytes>::default()));
        let headers: Vec<_> = HEADERS.into_iter().filter(|it| it.0 != "incremental").collect();
        assert_eq!(all(response.headers()), headers, "HEAD: {is_head}");
    }
    let mut answer = event_stream(Full::<Bytes>::default());
    answer.headers_mut().insert("incremental", "?1".parse().unwrap());
    assert_eq!(through(&layer, answer).headers()["incremental"], "?1", "the handler's own");
}

#[test]
fn only_open_streams_are_incremental() {
    let plain = Response::new(Full::<Bytes>::default());
    assert!(!through(&SseLayer::new(), plain).headers().contains_key("incremental"));
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let open = through(&layer, event_stream(Full::<Bytes>::default()));
    assert_eq!(open.headers()["incremental"], "?1");
    let refused = through(&layer, event_stream(Full::<Bytes>::default()));
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!refused.headers().contains_key("incremental"));
}

#[test]
fn headers_that_cannot_apply_to_a_stream_are_removed() {
    let headers = headers_of(&[
        ("content-length", "11"),
        ("etag", "\"7\""),
        ("accept-ranges", "bytes"),
        ("digest", "md5=="),
        ("content-digest", "sha-256=:AA==:"),
        ("repr-digest", "sha-256=:AA==:"),
        ("content-md5", "AA=="),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
    ]);
    assert_eq!(all(&headers), HEADERS);
}

#[test]
fn event_stream_may_have_any_status_that_allows_a_body() {
    for status in [201, 400, 401, 500, 503] {
        let answer = event_stream(Full::<Bytes>::default()).with_status(status);
        let response = through(&SseLayer::new(), answer);
        assert_eq!(response.status(), status);
        assert_eq!(all(response.headers()), HEADERS, "{status}");
    }
}

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
