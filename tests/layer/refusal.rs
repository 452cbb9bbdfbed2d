//! Responses to clients whose stream is refused.

use self::SECOND;
use crate::*;

pub(crate) fn event_source() -> Request<()> {
    Requester::EventSource.request("/")
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum RefusalCause {
    Limit,
    Shutdown,
}

/// Returns a layer that refuses every stream while the returned guard lives.
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

pub(crate) fn two_seconds(refusal: Refusal) -> Refusal {
    refusal.retry(Retry::fixed(2 * SECOND))
}

pub(crate) fn assert_come_back<B>(response: Response<B>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError> + ToString> + Unpin,
{
    assert_come_back_after("retry: 2000\n", response, context);
}

/// A block that reqwest-eventsource obeys, and whose data a program can parse as JSON.
const LINE_OF_LIBRARY: &str = "retry: 2000\nevent: retry\ndata: {}\n\n";

fn assert_come_back_after<B>(lines: &'static str, response: Response<B>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError> + ToString> + Unpin,
{
    assert_eq!(response.status(), StatusCode::OK, "{context}");
    assert_eq!(response.headers()["content-type"], "text/event-stream", "{context}");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{context}");
    assert!(!response.headers().contains_key("retry-after"), "{context}");
    let mut body = response.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None), "{context}");
    assert_eq!(poll_frame(&mut body), data(lines), "{context}");
    assert!(body.is_end_stream(), "{context}");
    assert_eq!(poll_frame(&mut body), Polled::End, "{context}");
}

pub(crate) fn assert_unavailable<B>(response: Response<B>, context: &str)
where
    B: Body<Data = Bytes, Error: Into<BoxError> + ToString> + Unpin,
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
            for client in Requester::ALL {
                let context = format!("{client:?}, {name}, {cause:?}");
                let (source, events) = Source::new();
                let (stats, mut events) = (Stats::new(), Some(events));
                let layer = layer.clone().stats(&stats);
                let layer = layer.on_open(|| panic!("opened")).on_close(|_| panic!("closed"));
                let response =
                    answer_by(client.request("/"), &layer, |_| K::answer(events.take().unwrap()));
                assert_eq!(events.is_none(), !K::BARE, "{context}: whether the service is called");
                assert_eq!(source.witness().is_dropped(), !K::BARE, "{context}");
                let now = stats.snapshot();
                assert_eq!((now.refused, now.opened), (1, 0), "{context}");
                match (client, name) {
                    (_, "unavailable") => assert_unavailable(response, &context),
                    (Requester::Library, _) => {
                        assert_come_back_after(LINE_OF_LIBRARY, response, &context);
                    }
                    (Requester::EventSource, _) | (_, "retry later") => {
                        assert_come_back(response, &context);
                    }
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

/// With the version of an HTTP/3 upstream, hyper would panic.
#[test]
fn refusals_and_answers_to_head_never_keep_an_upstreams_version() {
    use http::Version;
    let (full, _kept) = full(Refusal::per_client());
    let strict = SseLayer::new().require_accept(true);
    let json = Request::get("/").header("accept", "application/json").body(()).unwrap();
    let head = Request::head("/").body(()).unwrap();
    for (layer, request, status) in [
        (full.clone(), event_source(), 200),
        (full, Requester::Post.request("/"), 503),
        (strict, json, 406),
        (SseLayer::new(), head, 200),
    ] {
        let mut answer = event_stream(Feed::new().1);
        *answer.version_mut() = Version::HTTP_3;
        let response = answer_to(request, &layer, answer);
        assert_eq!((response.status().as_u16(), response.version()), (status, Version::HTTP_11));
    }
}

/// Middleware can refuse a client for a reason of its own. The layer around the middleware passes
/// the answer on.
#[test]
fn answer_of_a_refusal_is_that_of_a_layer() {
    for client in Requester::ALL {
        let layer = SseLayer::new().padding(9).terminator(Event::from("end"));
        let (parts, ()) = client.request("/").into_parts();
        let answer = || two_seconds(Refusal::per_client()).answer(&parts);
        let passed = answer_to(client.request("/"), &layer, answer());
        let lines = match client {
            Requester::EventSource => Some("retry: 2000\n"),
            Requester::Library => Some(LINE_OF_LIBRARY),
            _ => None,
        };
        if let Some(lines) = lines {
            assert_come_back_after(lines, answer(), "its answer");
            assert_come_back_after(lines, passed, "passed on");
        } else {
            assert_unavailable(answer(), &format!("{client:?}"));
            assert_unavailable(passed, &format!("{client:?}, passed on"));
        }
    }
}

/// A `retry` line is not gzip, whatever the stream would have been.
#[test]
fn headers_of_the_service_are_kept_and_those_of_its_body_removed() {
    for request in [event_source(), Request::new(())] {
        let (layer, _kept) = full(Refusal::per_client());
        let mut answer = event_stream(Feed::new().1)
            .with_header("access-control-allow-origin", "https://page.example")
            .with_header("x-request-id", "7")
            .with_header("vary", "origin")
            .with_header("set-cookie", "session=1")
            .with_header("content-length", "9")
            .with_header("content-encoding", "gzip")
            .with_header("etag", "\"7\"")
            .with_header("connection", "close");
        answer.headers_mut().append("set-cookie", HeaderValue::from_static("theme=dark"));
        let response = answer_to(request, &layer, answer);
        assert!(matches!(response.status().as_u16(), 200 | 503));
        for name in ["access-control-allow-origin", "x-request-id", "vary"] {
            assert!(response.headers().contains_key(name), "{name} is the service's");
        }
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        for name in ["content-length", "content-encoding", "etag", "connection"] {
            assert!(!response.headers().contains_key(name), "{name} is the stream's");
        }
    }
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

            let (layer, _kept) = refusing::<Responses>(cause, Refusal::per_client());
            let answer = Responses::answer(Source::new().1).with_status(status);
            assert_eq!(answer_to(event_source(), &layer, answer).status(), status, "{cause:?}");
        }
        // The status `204` stops an `EventSource` for good.
        let answer = event_stream(Full::<Bytes>::default()).with_status(204);
        assert_eq!(answer_to(event_source(), &layer, answer).status(), 204, "{cause:?}");
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

/// If a `406` and the limit both apply, the `406` tells the client what it can change.
#[test]
fn client_that_accepts_no_events_gets_a_406_at_the_limit_too() {
    let (layer, _kept) = full(Refusal::per_client());
    let request = Request::get("/").header("accept", "application/json").body(()).unwrap();
    let layer = layer.require_accept(true);
    let response = answer_to(request, &layer, event_stream(Feed::new().1));
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    assert!(!response.headers().contains_key("retry-after"));
}

/// The call has had its effects, and a client that is refused would repeat the call.
#[test]
fn call_in_progress_at_the_shutdown_is_answered() {
    for (client, passes) in [(Requester::Post, true), (Requester::Get, false)] {
        let shutdown = CancellationToken::new();
        let (finish, finished) = oneshot::channel::<()>();
        let mut working = Some((finished, event_stream(Feed::new().1)));
        let service = service_fn(move |_: Request<()>| {
            let (finished, answer) = working.take().unwrap();
            finished.map(|_| Ok::<_, Infallible>(answer))
        });
        let mut service = SseLayer::<marker::Http>::new().shutdown(shutdown.clone()).layer(service);
        let mut call = pin!(service.call(client.request("/")));
        assert!(call.as_mut().now_or_never().is_none());
        shutdown.cancel();
        finish.send(()).unwrap();
        let Ok(response) = call.now_or_never().unwrap();
        assert_eq!(response.status() == StatusCode::OK, passes, "{client:?}");
    }
}

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

/// Clients that were refused together must not return together.
#[test]
fn every_client_gets_a_reconnection_time_of_its_own() {
    let refusal = Refusal::unavailable().retry(Retry::between(3_001 * MILLISECOND, 6 * SECOND));
    let drawn: BTreeSet<_> = (0..400).filter_map(|_| refused(refusal.clone()).0).collect();
    assert!(drawn.iter().map(String::as_str).eq(["4", "5", "6"]), "{drawn:?}");
}
