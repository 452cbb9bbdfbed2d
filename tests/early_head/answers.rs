//! What a client receives for an answer in time, and for a late one.

use tower_sse::early_head::{LateResponse, anthropic_error, openai_error};

use super::*;

#[tokio::test(start_paused = true)]
async fn answer_in_time_is_unchanged() {
    let reports = Reports::default();
    let answer = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down");
    let bare = slow(AFTER - SECOND, answer);
    let app = bare.clone().layer(early()).layer(reports.observe(SseLayer::new()));
    let (expected, received) = (ask(&bare, Requester::Get).await, ask(&app, Requester::Get).await);
    assert_eq!(received.status(), expected.status());
    assert_eq!(received.headers(), expected.headers());
    assert_eq!(received.headers()["content-length"], "9");
    assert_eq!(read(received.into_body()).await.0, "slow down");
    assert_eq!(reports.opened(), 0);
}

#[tokio::test(start_paused = true)]
async fn head_is_sent_with_a_first_byte() {
    for client in Requester::ALL {
        let (layer, first) = match client {
            Requester::EventSource => (SseLayer::new().retry(2 * SECOND), "retry: 2000\n"),
            _ => (SseLayer::new(), ": \n"),
        };
        let app = slow(LATE, events).layer(early()).layer(layer);
        let start = Instant::now();
        let response = ask(&app, client).await;
        assert_eq!(start.elapsed(), AFTER);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut body = response.into_body();
        assert_eq!(poll_frame(&mut body), data(first), "{client:?}");
        assert_eq!(start.elapsed(), AFTER);
    }
}

#[tokio::test(start_paused = true)]
async fn first_byte_is_the_heartbeat_of_the_layer() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new());
    let ping = layer.clone().heartbeat(Heartbeat::every(15 * SECOND).event("ping", "{}"));
    let app = slow(LATE, events).layer(early()).layer(ping.clone());
    let text = "event: ping\ndata: {}\n\n";
    assert_eq!(receive(&app, Requester::Post).await, (text.repeat(4) + EVENTS, None));
    let app = slow(LATE, events).layer(early()).layer(layer.without_heartbeat());
    assert_eq!(receive(&app, Requester::Post).await, (format!(": \n{EVENTS}"), None));
    // Before the answer, heartbeats have no id. So none is sent if the stream begins with a line.
    let app = slow(LATE, events).layer(early()).layer(ping.retry(SECOND));
    let expected = format!("retry: 1000\n{}{EVENTS}", text.repeat(3));
    assert_eq!(receive(&app, Requester::EventSource).await, (expected, None));
    let heartbeats = reports.closed().iter().map(|report| report.heartbeats).collect::<Vec<_>>();
    assert_eq!(heartbeats, [4, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_until_the_late_answer() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().timings(true).retry(SECOND));
    let app = slow(LATE, events).layer(EarlyHeadLayer::new(AFTER)).layer(layer);
    let expected = format!("retry: 1000\n: \n: \n: \n{EVENTS}");
    assert_eq!(receive(&app, Requester::EventSource).await, (expected, None));
    let report = &reports.closed()[0];
    assert_eq!(report.reason, CloseReason::Ended);
    assert_eq!((report.time_to_head, report.time_to_first_event), (Some(AFTER), Some(LATE)));
    assert_eq!(report.heartbeats, 3);
}

/// The late head itself sends no byte to the client, which already has the early head.
#[tokio::test(start_paused = true)]
async fn late_head_does_not_delay_the_next_heartbeat() {
    let silent = || tower_sse::response(stream::pending::<Event>()).into_response();
    let app = slow(55 * SECOND, silent).layer(early());
    let app = app.layer(SseLayer::new().heartbeat(Heartbeat::every(16 * SECOND)));
    let start = Instant::now();
    let mut body = send(&app, Requester::Post.request("/")).await.into_body();
    for seconds in [10, 26, 42, 58] {
        _ = body.frame().await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn only_gets_that_name_event_streams_are_answered_early() {
    let app = slow(LATE, || "late").layer(EarlyHeadLayer::new(AFTER)).layer(SseLayer::new());
    let with = |method: Method, accept: &'static str| {
        let request = Request::builder().method(method).header("accept", accept);
        request.body(AxumBody::empty()).unwrap()
    };
    for (request, waits) in [
        (with(Method::GET, "text/event-stream"), AFTER),
        (with(Method::GET, "*/*"), LATE),
        (with(Method::GET, "text/event-stream;q=0"), LATE),
        (with(Method::POST, "text/event-stream"), LATE),
        (with(Method::HEAD, "text/event-stream"), LATE),
    ] {
        let (start, case) = (Instant::now(), format!("{request:?}"));
        _ = send(&app, request).await;
        assert_eq!(start.elapsed(), waits, "{case}");
    }
    let app = slow(LATE, || "late").layer(early()).layer(SseLayer::new());
    let start = Instant::now();
    _ = send(&app, with(Method::HEAD, "text/event-stream")).await;
    assert_eq!(start.elapsed(), LATE, "HEAD with `when`");
}

#[tokio::test(start_paused = true)]
async fn time_that_never_comes_sends_no_early_head() {
    let app = slow(LATE, events).layer(EarlyHeadLayer::new(Duration::MAX)).layer(SseLayer::new());
    let start = Instant::now();
    _ = ask(&app, Requester::Get).await;
    assert_eq!(start.elapsed(), LATE);
}

const TOO_MANY: (StatusCode, &str) = (StatusCode::TOO_MANY_REQUESTS, "slow down");
const FAILURE: &str =
    "the service answered 429 Too Many Requests after the head of an event stream had been sent";

#[tokio::test(start_paused = true)]
async fn late_error_fails_the_body() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().terminator("[DONE]").without_heartbeat());
    let app = slow(LATE, || TOO_MANY).layer(early()).layer(layer);
    for client in [Requester::Fetch, Requester::Get, Requester::Post] {
        let (text, error) = receive(&app, client).await;
        assert_eq!((&*text, error.as_deref()), (": \n: \n", Some(FAILURE)));
        assert_eq!(reports.take(), [CloseReason::Failed]);
    }
}

#[tokio::test(start_paused = true)]
async fn late_answer_that_stops_an_event_source_stops_it_after_one_request() {
    let layer = || SseLayer::new().without_retry().without_heartbeat();
    for (status, stops) in [(204, true), (401, true), (404, true), (500, false), (503, false)] {
        let status = StatusCode::from_u16(status).unwrap();
        let app = slow(LATE, move || status).layer(early()).layer(layer());
        let (text, error) = receive(&app, Requester::EventSource).await;
        let event = "event: interrupted\ndata: {}\nid: tower-sse:interrupted\n\n";
        let text = text.strip_prefix(": \n").unwrap();
        assert_eq!((text == event, error.is_none()), (stops, stops), "{text}");
        if !stops {
            continue;
        }
        // Polyfills send the id in the URL.
        let app = app.layer(layer().last_event_id_query("last"));
        for request in returning("tower-sse:interrupted") {
            let start = Instant::now();
            assert_eq!(send(&app, request).await.status(), StatusCode::NO_CONTENT);
            // A `204` is held for a second.
            assert_eq!(start.elapsed(), SECOND, "the service was not called");
        }
    }
}

/// Returns the requests of two clients that come back with an id: in a header, and in the query.
fn returning(id: &'static str) -> [Request<AxumBody>; 2] {
    let mut by_header = Requester::EventSource.request("/");
    by_header.headers_mut().insert("last-event-id", HeaderValue::from_static(id));
    [by_header, Requester::EventSource.request(&format!("/?last={id}"))]
}

/// A program, or a run, can have this id for its own events.
#[tokio::test(start_paused = true)]
async fn own_id_interrupted_reaches_the_handler() {
    let handler = async |last: LastEventId| {
        sleep(LATE).await;
        tower_sse::response(stream::iter([Event::from(last.as_str())]))
    };
    let layer = SseLayer::new().without_retry().without_heartbeat().last_event_id_query("last");
    let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
    for request in returning("interrupted") {
        let received = read(send(&app, request).await.into_body()).await;
        assert_eq!(received, (": \ndata: interrupted\n\n".into(), None));
    }
}

/// A clean end behind a heartbeat repeats the reconnection time, which must be the program's.
#[tokio::test(start_paused = true)]
async fn reconnection_time_of_a_late_source_is_kept() {
    let late = || {
        let first = Event::from("one").retry(9 * SECOND);
        let silent = stream::once(sleep(20 * SECOND)).filter_map(async |()| None);
        tower_sse::response(stream::iter([first]).chain(silent)).into_response()
    };
    let app = slow(LATE, late).layer(early()).layer(SseLayer::new());
    let (text, error) = receive(&app, Requester::EventSource).await;
    let (_, text) = text.split_once("retry: 9000\n").expect("the source's time");
    assert_eq!((text, error), ("data: one\n\n: \nretry: 9000\n", None));
}

#[tokio::test(start_paused = true)]
async fn on_error_receives_the_late_response() {
    let layer = SseLayer::new().without_heartbeat().terminator("[DONE]").on_error(|error| {
        let late = error.downcast_ref::<LateResponse>().expect("the error").response();
        let (status, header) = (late.status().as_u16(), &late.headers()["retry-after"]);
        Event::from(format!("{status} {header:?} {:?}", late.body()))
    });
    let answer = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down");
    let app = slow(LATE, answer).layer(early()).layer(layer);
    let expected = ": \ndata: 429 \"7\" b\"slow down\"\n\n";
    assert_eq!(receive(&app, Requester::Post).await, (expected.into(), None));
}

#[tokio::test(start_paused = true)]
async fn late_event_takes_the_place_of_the_response() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().terminator("[DONE]").without_heartbeat());
    let json = || ([("content-type", "application/json")], "{\"a\": \n1}");
    let text = |late: &Response<Bytes>| Some(String::from_utf8(late.body().to_vec()).ok()?.into());
    let app = slow(LATE, json).layer(early().late_event(text)).layer(layer);
    let expected = ": \ndata: {\"a\": \ndata: 1}\n\ndata: [DONE]\n\n";
    assert_eq!(receive(&app, Requester::Post).await, (expected.into(), None));
    assert_eq!(reports.take(), [CloseReason::Ended]);
}

#[tokio::test(start_paused = true)]
async fn event_of_a_late_error_has_no_terminator() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().terminator("[DONE]").without_heartbeat());
    let app = slow(LATE, || TOO_MANY).layer(early().late_event(|_| Some("late".into())));
    let expected = (": \ndata: late\n\n".into(), None);
    assert_eq!(receive(&app.layer(layer), Requester::Post).await, expected);
    assert_eq!(reports.take(), [CloseReason::Failed]);
}

#[tokio::test(start_paused = true)]
async fn late_response_without_an_event_fails_the_body() {
    let new = || EarlyHeadLayer::new(AFTER).when(|_| true);
    let (never, unseen) =
        (new().late_event(|_| panic!("called")), new().late_event(|_| Some("unseen".into())));
    let undispatched = new().late_event(|_| Some(Event::new().comment("x")));
    let too_large = || "x".repeat((64 << 10) + 1);
    let coded = || {
        let endless = tower_sse::response(stream::pending::<Event>());
        endless.with_header("content-encoding", "gzip").into_response()
    };
    for (name, app, layer) in [
        ("no event", slow(LATE, || TOO_MANY), new().late_event(|_| None)),
        ("a panic", slow(LATE, || TOO_MANY), never),
        ("no data", slow(LATE, || TOO_MANY), undispatched),
        ("a large body", slow(LATE, too_large), unseen.clone()),
        ("a coded body", slow(LATE, || ([("content-encoding", "gzip")], "x")), unseen.clone()),
        ("endless coded events", slow(LATE, coded), unseen),
        // The status says that these events are not the answer.
        ("events of an error", slow(LATE, || events().with_status(500)), new()),
    ] {
        let app = app.layer(layer).layer(SseLayer::new().terminator("[DONE]").without_heartbeat());
        let (text, error) = receive(&app, Requester::Post).await;
        assert_eq!(text, ": \n: \n", "{name}");
        assert!(error.unwrap().contains("after the head of an event stream"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_body_of_64_kib_becomes_an_event() {
    let len = |late: &Response<Bytes>| Some(Event::from(late.body().len().to_string()));
    let app = slow(LATE, || "x".repeat(64 << 10)).layer(early().late_event(len));
    let app = app.layer(SseLayer::new().without_heartbeat());
    assert_eq!(receive(&app, Requester::Post).await, (": \ndata: 65536\n\n".into(), None));
}

#[test]
fn ready_made_errors_have_the_status_and_keep_the_fields() {
    let late =
        |status: u16, body: &'static str| Response::new(Bytes::from(body)).with_status(status);
    let text = |event: Event| String::from_utf8(Encoded::from(event).as_bytes().to_vec()).unwrap();
    let own = late(429, r#"{"error":{"code":"rate_limited","message":"slow down"}}"#);
    assert_eq!(
        text(openai_error(&own).unwrap()),
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\",\"index\":0}],\
         \"error\":{\"code\":\"rate_limited\",\"message\":\"slow down\",\"status\":429}}\n\n"
    );
    assert_eq!(
        text(anthropic_error(&late(529, "")).unwrap()),
        "event: error\ndata: {\"error\":{\"message\":\"529\",\"status\":529,\"type\":\"api_error\"},\
         \"type\":\"error\"}\n\n"
            .replace("\"529\"", "\"529 <unknown status code>\"")
    );
    for body in ["bad gateway", "[1]", "{\"error\":\"text\"}"] {
        assert!(text(openai_error(&late(502, body)).unwrap()).contains("\"status\":502"), "{body}");
    }
    assert!(openai_error(&late(200, "{}")).is_none());
}

#[tokio::test(start_paused = true)]
async fn late_error_of_the_service_fails_the_body() {
    let service = service_fn(|_: Request<()>| async {
        sleep(LATE).await;
        Err::<Response<Full<Bytes>>, _>(io::Error::other("broken"))
    });
    let layers = ServiceBuilder::new().layer(SseLayer::new().without_heartbeat()).layer(early());
    let response = layers.service(service).oneshot(Requester::Post.request("/")).await.unwrap();
    let (text, error) = read(response.into_body()).await;
    assert_eq!((&*text, &*error.unwrap()), (": \n: \n", "broken"));
}

#[tokio::test(start_paused = true)]
async fn handler_answers_early_by_itself() {
    let answer = |wait: Duration| {
        let early = EarlyHeadLayer::new(AFTER).late_event(openai_error);
        Router::new()
            .fallback(any(async move || {
                let call = async move {
                    sleep(wait).await;
                    if wait == 2 * LATE { TOO_MANY.into_response() } else { events() }
                };
                early.answer(call).await.into_response()
            }))
            .layer(SseLayer::new().without_heartbeat())
    };
    let start = Instant::now();
    assert_eq!(receive(&answer(SECOND), Requester::Post).await, (EVENTS.into(), None));
    assert_eq!(start.elapsed(), SECOND);
    let app = answer(LATE);
    assert_eq!(receive(&app, Requester::Post).await, (format!(": \n{EVENTS}"), None));
    let (text, error) = receive(&answer(2 * LATE), Requester::Post).await;
    assert!(text.contains("\"message\":\"slow down\"") && error.is_none(), "{text}");
}
