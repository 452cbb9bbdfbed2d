//! Responses to clients whose stream is refused.

use self::SECOND;
use crate::*;

/// A client's name, method and request headers, and whether its refusal must be a `200`.
type Client = (&'static str, Method, &'static [(&'static str, &'static str)], bool);

const CLIENTS: [Client; 9] = [
    (
        "Chromium's EventSource",
        Method::GET,
        &[("accept", EVENTS), ("cache-control", "no-cache"), ("sec-fetch-mode", "cors")],
        true,
    ),
    ("npm eventsource", Method::GET, &[("accept", EVENTS), ("cache-control", "no-cache")], true),
    (
        "undici",
        Method::GET,
        &[("accept", EVENTS), ("cache-control", "no-cache"), ("pragma", "no-cache")],
        true,
    ),
    ("fetch-event-source", Method::GET, &[("accept", EVENTS), ("sec-fetch-mode", "cors")], false),
    ("httpx-sse", Method::GET, &[("accept", EVENTS), ("cache-control", "no-store")], false),
    ("sseclient-py", Method::GET, &[("accept", EVENTS)], false),
    ("curl", Method::GET, &[("accept", "*/*")], false),
    ("openai", Method::POST, &[("accept", "application/json")], false),
    (
        "a call that looks like an EventSource",
        Method::POST,
        &[("accept", EVENTS), ("cache-control", "no-cache")],
        false,
    ),
];
const EVENTS: &str = "text/event-stream";

fn request_of(method: &Method, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    request
}

pub(crate) fn event_source() -> Request<()> {
    request_of(&CLIENTS[0].1, CLIENTS[0].2)
}

/// The reason for which a stream is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RefusalCause {
    Limit,
    Shutdown,
}

/// Returns a layer that refuses every stream, and a guard that keeps it so.
pub(crate) fn refusing<K: Kind>(
    cause: RefusalCause,
    refusal: Refusal,
) -> (SseLayer<K::Marker>, impl Sized) {
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().refusal(refusal).max_streams(1).shutdown(shutdown.clone());
    match cause {
        RefusalCause::Limit => {
            let open = open::<K>(&layer).unwrap();
            (layer, Some(open))
        }
        RefusalCause::Shutdown => {
            shutdown.cancel();
            (layer, None)
        }
    }
}

pub(crate) fn full(refusal: Refusal) -> (SseLayer, impl Sized) {
    refusing::<Bodies>(RefusalCause::Limit, refusal)
}

/// Sets two seconds, by the option that the refusal uses.
pub(crate) fn two_seconds(refusal: Refusal) -> Refusal {
    refusal.retry(Retry::fixed(2 * SECOND))
}

pub(crate) fn assert_come_back<B>(response: Response<SseBody<B>>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    assert_eq!(response.status(), StatusCode::OK, "{context}");
    assert_eq!(response.headers()["content-type"], "text/event-stream", "{context}");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{context}");
    assert!(!response.headers().contains_key("retry-after"), "{context}");
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None), "{context}");
    assert_eq!(poll_frame(&mut body), data("retry: 2000\n"), "{context}");
    assert!(body.is_end_stream(), "{context}");
    assert_eq!(poll_frame(&mut body), Polled::End, "{context}");
}

pub(crate) fn assert_unavailable<B>(response: Response<SseBody<B>>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{context}");
    assert_eq!(response.headers()["retry-after"], "2", "{context}");
    for name in ["content-type", "cache-control", "x-accel-buffering", "incremental"] {
        assert!(!response.headers().contains_key(name), "{context}: {name} is the stream's");
    }
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)), "{context}");
    assert_eq!(poll_frame(&mut body), Polled::End, "{context}");
}

fn every_client_is_refused_in_its_own_way<K: Kind>() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        for (refusal, name) in [
            (Refusal::default(), "default"),
            (Refusal::per_client(), "by request"),
            (Refusal::retry_later(), "retry later"),
            (Refusal::unavailable(), "unavailable"),
        ] {
            let (layer, _kept) = refusing::<K>(cause, two_seconds(refusal));
            for (client, method, headers, reconnects_after_a_clean_end) in &CLIENTS {
                let context = format!("{client}, {name}, {cause:?}");
                let (source, events) = Source::new();
                let request = request_of(method, headers);
                let mut events = Some(events);
                let response = answer_by(request, &layer, |_| K::answer(events.take().unwrap()));
                assert_eq!(events.is_none(), !K::BARE, "{context}: whether the service is called");
                assert_eq!(source.witness().is_dropped(), !K::BARE, "{context}");
                match name {
                    "retry later" => assert_come_back(response, &context),
                    "unavailable" => assert_unavailable(response, &context),
                    _ if *reconnects_after_a_clean_end => assert_come_back(response, &context),
                    _ => assert_unavailable(response, &context),
                }
            }
        }
    }
}

#[test]
fn every_client_is_refused_in_a_way_after_which_it_reconnects() {
    for_each_kind!(every_client_is_refused_in_its_own_way);
}

/// The layer writes none of its stream options into a refusal.
#[test]
fn refusal_sends_only_its_retry_line() {
    let (layer, _kept) = full(two_seconds(Refusal::per_client()));
    let layer = layer
        .padding(9)
        .retry(Retry::fixed(60 * SECOND))
        .terminator(Event::from("end"))
        .farewell(Event::from("bye"));
    let answer = event_stream(Feed::new().1).with_options(StreamOptions::new().padding(4));
    let response = answer_to(event_source(), &layer, answer);
    assert!(response.extensions().get::<StreamOptions>().is_none());
    assert_come_back(response, "with all options");
}

/// Middleware can refuse a client for a reason of its own. The layer around it passes that on.
#[test]
fn answer_of_a_refusal_is_that_of_a_layer() {
    for (client, method, headers, reconnects_after_a_clean_end) in &CLIENTS {
        let (parts, ()) = request_of(method, headers).into_parts();
        let layer = SseLayer::new().padding(9).terminator(Event::from("end"));
        let answer = || two_seconds(Refusal::per_client()).answer(&parts);
        let passed = answer_to(request_of(method, headers), &layer, answer());
        if *reconnects_after_a_clean_end {
            assert_come_back(answer(), client);
            assert_come_back(passed, client);
        } else {
            assert_unavailable(answer(), client);
            assert_unavailable(passed, client);
        }
    }
}

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

// Responses that are never refused.

fn json<B>(status: u16, body: B) -> Response<B> {
    Response::new(body).with_status(status).with_header("content-type", "application/json")
}

#[test]
fn other_responses_and_other_statuses_pass() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<Bodies>(cause, Refusal::per_client());
        for status in [200, 201, 401, 404, 500, 503] {
            let response = answer_to(event_source(), &layer, json(status, Full::from("{}")));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers(), json(status, ()).headers());
            assert_eq!(response.body().size_hint().exact(), Some(2));
        }
        for status in [401, 403, 404, 500] {
            let answer = event_stream(Full::from("data: no\n\n")).with_status(status);
            let response = answer_to(event_source(), &layer, answer);
            assert_eq!(response.status(), status, "{cause:?}");
            assert!(!response.headers().contains_key("retry-after"));
        }
        // Statuses that stop a client for good.
        let answer = event_stream(Full::<Bytes>::default()).with_status(204);
        assert_eq!(answer_to(event_source(), &layer, answer).status(), 204, "{cause:?}");
    }
}

#[test]
fn services_own_status_takes_precedence_over_a_refusal() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<Responses>(cause, Refusal::per_client());
        for status in [401, 404, 204] {
            let answer = Responses::answer(Source::new().1).with_status(status);
            assert_eq!(answer_to(event_source(), &layer, answer).status(), status, "{cause:?}");
        }
    }
}

fn a_head_request_passes<K: Kind>() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        let (layer, _kept) = refusing::<K>(cause, Refusal::per_client());
        let head = Request::head("/").body(()).unwrap();
        let response = answer_to(head, &layer, K::answer(Source::new().1));
        assert_eq!(response.status(), StatusCode::OK, "{cause:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
    }
}

/// Monitors and proxies send HEAD requests, and these open nothing.
#[test]
fn head_request_is_never_refused() {
    for_each_kind!(a_head_request_passes);
}

/// If both apply, `406` tells the client what it can change.
#[test]
fn client_that_accepts_no_events_gets_a_406_at_the_limit_too() {
    let (layer, _kept) = full(Refusal::per_client());
    let request = request_of(&Method::GET, &[("accept", "application/json")]);
    let layer = layer.require_accept(true);
    let response = answer_to(request, &layer, event_stream(Feed::new().1));
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    assert!(!response.headers().contains_key("retry-after"));
}

/// The call has had its effects, and its client would repeat it.
#[test]
fn call_in_progress_at_the_shutdown_is_answered() {
    for (method, passes) in [(Method::POST, true), (Method::GET, false)] {
        let shutdown = CancellationToken::new();
        let (finish, finished) = oneshot::channel::<()>();
        let mut working = Some((finished, event_stream(Feed::new().1)));
        let service = service_fn(move |_: Request<()>| {
            let (finished, answer) = working.take().unwrap();
            finished.map(|_| Ok::<_, Infallible>(answer))
        });
        let mut service = SseLayer::<marker::Http>::new().shutdown(shutdown.clone()).layer(service);
        let mut call = pin!(service.call(request_of(&method, &[])));
        assert!(call.as_mut().now_or_never().is_none());
        shutdown.cancel();
        finish.send(()).unwrap();
        let Ok(response) = call.now_or_never().unwrap();
        assert_eq!(response.status() == StatusCode::OK, passes, "{method}");
    }
}

/// Returns the `retry-after` of a refused client, and what it receives.
fn refused(refusal: Refusal) -> (Option<String>, Polled) {
    let (layer, _kept) = full(refusal);
    let response = through(&layer, event_stream(Feed::new().1));
    let after =
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (after, poll_frame(&mut response.into_body()))
}

#[test]
fn retry_after_rounds_up_to_seconds_and_retry_lines_are_milliseconds() {
    for (milliseconds, seconds) in
        [(0, "0"), (1, "1"), (999, "1"), (1000, "1"), (1001, "2"), (2500, "3"), (60_000, "60")]
    {
        let retry = || Retry::fixed(Duration::from_millis(milliseconds));
        let unavailable = refused(Refusal::unavailable().retry(retry()));
        assert_eq!(unavailable, (Some(seconds.to_owned()), Polled::End), "{milliseconds} ms");
        let line = Polled::Data(format!("retry: {milliseconds}\n").into());
        assert_eq!(refused(Refusal::retry_later().retry(retry())), (None, line));
    }
    let (after, _) = refused(Refusal::unavailable().retry(Retry::fixed(Duration::MAX)));
    assert!(after.unwrap().parse::<u64>().is_ok());
}

#[test]
fn without_a_reconnection_time_none_is_sent() {
    for refusal in [Refusal::unavailable(), Refusal::retry_later()] {
        let name = format!("{refusal:?}");
        assert_eq!(refused(refusal.without_retry()), (None, Polled::End), "{name}");
    }
}

/// Clients that were refused together must not return together.
#[test]
fn every_client_gets_a_reconnection_time_of_its_own() {
    let refusal = Refusal::unavailable().retry(Retry::between(3_001 * MILLISECOND, 6 * SECOND));
    let drawn: BTreeSet<_> = (0..400).filter_map(|_| refused(refusal.clone()).0).collect();
    assert!(drawn.iter().map(String::as_str).eq(["4", "5", "6"]), "{drawn:?}");

    // In milliseconds, from the default range.
    let sent_time = |layer: &SseLayer| -> u64 {
        let response = through(layer, event_stream(Feed::new().1));
        if let Some(seconds) = response.headers().get("retry-after") {
            return 1000 * seconds.to_str().unwrap().parse::<u64>().unwrap();
        }
        let Polled::Data(line) = poll_frame(&mut response.into_body()) else { panic!("no time") };
        let line = str::from_utf8(&line).unwrap();
        line.strip_prefix("retry: ").unwrap().trim_end().parse().unwrap()
    };
    for refusal in [Refusal::retry_later(), Refusal::unavailable()] {
        let (layer, _kept) = full(refusal.clone());
        let drawn: BTreeSet<_> = (0..400).map(|_| sent_time(&layer)).collect();
        assert!(drawn.iter().all(|time| (2_000..=10_000).contains(time)), "{drawn:?}");
        assert!(drawn.len() >= 8, "{refusal:?}: {drawn:?}");
        assert!(*drawn.first().unwrap() < 4_000 && *drawn.last().unwrap() > 8_000, "{drawn:?}");
    }
}
