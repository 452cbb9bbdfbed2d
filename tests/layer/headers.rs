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

async fn assert_stream<B>(response: Response<B>)
where
    B: Body<Data = Bytes, Error: fmt::Debug>,
{
    assert_eq!(all(response.headers()), HEADERS);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: one\n\n");
}

#[tokio::test]
async fn all_three_kinds_of_service_get_the_same_headers_and_no_others() {
    assert_stream(through(&SseLayer::new(), events())).await;
    assert_stream(through(&SseLayer::new(), Response::new(events()))).await;
    assert_stream(through(&SseLayer::new(), tower_sse::response(events()))).await;
    assert_stream(through(&SseLayer::new(), event_stream(Full::from("data: one\n\n")))).await;
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

/// Python's `requests` reads text without a `charset` as Latin-1.
#[test]
fn charset_is_kept_if_it_is_utf_8_and_never_added() {
    const BARE: &str = "text/event-stream";
    const UTF_8: &str = "text/event-stream; charset=utf-8";
    for (present, expected) in [
        (UTF_8, UTF_8),
        ("text/event-stream;charset=UTF-8", UTF_8),
        ("Text/Event-Stream ; x=y ; Charset=\"utf-8\"", UTF_8),
        ("text/plain, text/event-stream; charset=utf-8", UTF_8),
        (BARE, BARE),
        ("Text/Event-Stream ; x=y", BARE),
        ("text/event-stream; charset=iso-8859-1", BARE),
        ("text/event-stream; x-charset=utf-8", BARE),
        ("text/plain; charset=utf-8, text/event-stream", BARE),
    ] {
        let mut headers = HEADERS;
        headers[1].1 = expected;
        assert_eq!(all(&headers_of(&[("content-type", present)])), headers, "{present}");
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

/// The header `incremental` is a structured field whose value is a Boolean (RFC 10036, section 3).
#[test]
fn handlers_own_x_accel_buffering_and_incremental_are_kept() {
    for (name, value) in
        [("x-accel-buffering", "yes"), ("incremental", "?0"), ("incremental", "?1;a=1")]
    {
        let headers = headers_of(&[(name, value)]);
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value]);
    }
}

#[test]
fn incremental_can_be_left_out() {
    let layer: SseLayer = SseLayer::new().incremental(false);
    for method in [Method::GET, Method::HEAD] {
        let request = Request::builder().method(method.clone()).body(()).unwrap();
        let response = answer_to(request, &layer, event_stream(Full::<Bytes>::default()));
        let headers: Vec<_> = HEADERS.into_iter().filter(|it| it.0 != "incremental").collect();
        assert_eq!(all(response.headers()), headers, "{method}");
    }
    let answer = event_stream(Full::<Bytes>::default()).with_header("incremental", "?1");
    assert_eq!(through(&layer, answer).headers()["incremental"], "?1", "the handler's own");
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

/// The layer looks at the names of a few headers, and looks up each name beside many.
#[test]
fn stream_keeps_its_own_headers_beside_any_number_of_others() {
    const UNFIT: [&str; 5] = ["content-length", "etag", "digest", "connection", "content-md5"];
    const OWN: [&str; 12] = [
        "set-cookie",
        "vary",
        "link",
        "server",
        "date",
        "x-a",
        "x-b",
        "x-c",
        "x-d",
        "x-e",
        "x-f",
        "x-g",
    ];
    let mut most = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let likely = random.u8(1..10);
        let mut some = |names: &[&'static str]| -> Vec<_> {
            names.iter().filter(|_| random.u8(..10) < likely).map(|name| (*name, "7")).collect()
        };
        let (own, unfit) = (some(&OWN), some(&UNFIT));
        let headers = headers_of(&[&own[..], &unfit[..]].concat());
        let mut expected = [&HEADERS[..], &own[..]].concat();
        expected.sort_unstable();
        assert_eq!(all(&headers), expected, "{seed}");
        most = most.max(own.len() + unfit.len());
    }
    assert_eq!(most, OWN.len() + UNFIT.len());
}

fn strict<M>() -> SseLayer<M> {
    SseLayer::new().require_accept(true)
}

fn accepting(accept: &'static str) -> Request<()> {
    Request::get("/").header("accept", accept).body(()).unwrap()
}

const JSON: &str = "application/json";

#[test]
fn client_that_does_not_accept_events_gets_a_406() {
    let (feed, body) = Feed::new();
    let answer = event_stream(body)
        .with_header("vary", "origin")
        .with_header("access-control-allow-origin", "https://page.example")
        .with_header("content-length", "9")
        .with_header("content-encoding", "gzip")
        .with_header("etag", "\"7\"");
    let response = answer_to(accepting(JSON), &strict(), answer);

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

/// The status is for the service to choose: `401` ends an `EventSource`, as it should.
#[test]
fn no_other_client_or_status_gets_a_406() {
    for (layer, accept, status) in [
        (strict(), "", 200),
        (strict(), "text/html, */*;q=0.1", 200),
        (strict(), JSON, 401),
        (strict(), JSON, 404),
        (strict(), JSON, 204),
        (SseLayer::new(), JSON, 200),
    ] {
        let answer = event_stream(Feed::new().1).with_status(status);
        assert_eq!(answer_to(accepting(accept), &layer, answer).status(), status, "{accept:?}");
    }
    assert_eq!(through(&strict(), event_stream(Feed::new().1)).status(), 200, "no header");
}

#[tokio::test]
async fn other_responses_pass_whatever_is_accepted() {
    let answer = Response::new(Full::from("{}")).with_header("content-type", JSON);
    let response = answer_to(accepting(JSON), &strict(), answer);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("vary"));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
}

#[test]
fn service_of_bare_streams_is_not_called_for_a_406() {
    for (accept, status, is_called) in
        [(JSON, StatusCode::NOT_ACCEPTABLE, false), ("text/event-stream", StatusCode::OK, true)]
    {
        let mut called = false;
        let response = answer_by(accepting(accept), &strict(), |_| {
            called = true;
            events()
        });
        assert_eq!((response.status(), called), (status, is_called));
        assert_eq!(response.headers().contains_key("vary"), !is_called);
        assert_eq!(response.body().is_end_stream(), !is_called);
    }
}

#[test]
fn status_of_a_service_of_streams_takes_precedence_over_a_406() {
    for (status, expected) in [(200, 406), (401, 401), (204, 204)] {
        let answer = Response::new(events()).with_status(status);
        assert_eq!(answer_to(accepting(JSON), &strict(), answer).status(), expected);
    }
}
