//! Filters with the rest of the crate, and with other layers.

use tower_http::compression::{CompressionLayer, predicate::NotForContentType};
use tower_http::decompression::DecompressionLayer;

use tower_sse::hub::Hub;
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{CloseReason, Refusal, Retry, StreamOptions, early_head::EarlyHeadLayer};

use crate::naive_filter::{Choice, Plan};
use crate::{rig::through as filtered, support::*, *};

#[tokio::test(start_paused = true)]
async fn heartbeats_come_between_events_while_the_upstream_stalls_within_one() {
    let (feed, source) = Feed::new();
    let (filters, _log) = filters(PASS);
    let layer: SseLayer = SseLayer::new();
    let mut body = through(&layer, filtered(&filters, event_stream(source))).into_body();
    feed.data("data: a\n\ndata: half");
    assert_polls(&mut body, [data("data: a\n\n")]);
    idle(&mut body, 15 * SECOND).await;
    assert_polls(&mut body, [data(": \n"), Polled::Pending]);
    feed.data(" an event\n\n");
    assert_polls(&mut body, [data("data: half an event\n\n")]);
}

#[tokio::test(start_paused = true)]
async fn errors_of_filters_reach_on_error() {
    for (plan, expected) in [
        (on_events(&[Choice::Fail]), "by the filter"),
        (Plan { max_event_size: 8, ..PASS }, "an event is larger than 8 bytes"),
    ] {
        let (feed, source) = Feed::new();
        let (filters, log) = filters(plan);
        let layer: SseLayer =
            SseLayer::new().on_error(|error| Event::new().event("failed").data(error.to_string()));
        let mut body = through(&layer, filtered(&filters, event_stream(source))).into_body();
        feed.data("data: 9 or more\n\n");
        let sent = format!("event: failed\ndata: {expected}\n\n").leak();
        assert_polls(&mut body, [data(sent)]);
        _ = outcome(&log);
    }
}

#[tokio::test(start_paused = true)]
async fn inner_layers_are_recognised_through_a_filter() {
    let (filters, _log) = filters(PASS);
    let inner: SseLayer = SseLayer::new().terminator(Event::from("inner"));
    let outer: SseLayer = SseLayer::new().terminator(Event::from("outer"));
    let inner = through(&inner, tower_sse::response(stream::iter([Event::from("a")])));
    let body = through(&outer, filtered(&filters, inner)).into_body();
    assert_eq!(read_to_end(body).await.0, "data: a\n\ndata: inner\n\n");
}

#[tokio::test(start_paused = true)]
async fn filter_sees_a_run_once_inside_and_for_each_client_outside() {
    let (inside, log_inside) = filters::<Body>(PASS);
    let (outside, log_outside) = filters::<Body>(PASS);
    let runs = Runs::new();
    let events = stream::iter((0..3).map(|n| Event::from(n.to_string())));
    let sse: SseLayer = SseLayer::new();
    let service = ServiceBuilder::new()
        .layer(sse.without_heartbeat())
        .layer(outside)
        .layer(runs.layer(|_: &Request<Body>| Some(RunKey::shared("one"))))
        .layer(inside)
        .service_fn(move |_: Request<Body>| {
            ready(Ok::<_, Infallible>(tower_sse::response(events.clone())))
        });
    for _ in 0..2 {
        let request = Request::post("/").body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let text = read_to_end(response.into_body()).await.0;
        assert!(text.contains("data: 2\n"), "{text}");
    }
    let ends = [log_inside, log_outside].map(|log| log.lock().unwrap().ends.len());
    assert_eq!(ends, [1, 2]);
}

/// A filter that records how its source ended, and replaces the end.
#[derive(Clone, Default)]
struct Replaces(Arc<Mutex<Vec<&'static str>>>);

impl EventFilter for Replaces {
    fn event(&mut self, _: EventRef<'_>) -> Verdict {
        Verdict::Pass
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        let is_clean = matches!(end, SourceEnd::Clean);
        self.0.lock().unwrap().push(if is_clean { "clean" } else { "failed" });
        Verdict::Replace(Event::from("end").into())
    }
}

async fn replace_end(app: Router, is_layered: bool) -> (String, Option<axum::Error>, &'static str) {
    let filter = Replaces::default();
    let made = filter.clone();
    let app = app.layer(FilterLayer::new(move |_: &Request<Body>| Some(made.clone())));
    let layer = SseLayer::new().without_heartbeat().without_retry().terminator("[DONE]");
    let app = if is_layered { app.layer(layer) } else { app };
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let (text, error) = read_to_end(response.into_body()).await;
    let ends = mem::take(&mut *filter.0.lock().unwrap());
    (text, error, ends[..].try_into().map(|[end]: [_; 1]| end).unwrap())
}

#[tokio::test(start_paused = true)]
async fn cancelled_run_fails_for_a_filter_and_ends_without_a_terminator() {
    for is_layered in [true, false] {
        let (runs, key) = (Runs::new(), RunKey::shared("one").unwrap());
        let layer = runs.layer(|_: &Request<Body>| Some(RunKey::shared("one")));
        let half = || {
            ready(tower_sse::response(
                stream::once(ready(Event::from("half"))).chain(stream::pending()),
            ))
        };
        let app = Router::new().route("/", get(half)).layer(layer);
        let cancelling = async {
            time::sleep(SECOND).await;
            assert!(runs.cancel(&key, None).await);
        };
        let ((text, error, end), ()) = tokio::join!(replace_end(app, is_layered), cancelling);
        let (half, rest) = text.split_once("\n\n").expect("an event");
        assert!(half.starts_with("data: half\n") && error.is_none(), "{text:?}, {error:?}");
        assert_eq!((rest, end), ("data: end\n\n", "failed"), "{is_layered}");
    }
}

#[tokio::test(start_paused = true)]
async fn inner_layers_late_end_is_clean_unless_an_error_was_told() {
    let early = || EarlyHeadLayer::new(SECOND).when(|_| true);
    let whole = async || {
        time::sleep(2 * SECOND).await;
        tower_sse::response(stream::once(ready(Event::from("a"))))
    };
    let failed = async || {
        time::sleep(2 * SECOND).await;
        StatusCode::BAD_GATEWAY
    };
    let whole = Router::new().route("/", get(whole)).layer(SseLayer::new().without_retry());
    let failed = Router::new().route("/", get(failed));
    let failed = failed.layer(early().late_event(|_| Some(Event::from("a"))));
    for (app, expected) in [(whole.layer(early()), "clean"), (failed, "failed")] {
        let (text, error, end) = replace_end(app, true).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!((&*text, end), (": \ndata: a\n\ndata: end\n\n", expected));
    }
}

/// The client's subject is closed before the handler adds it. The late event is ready at once.
#[tokio::test(start_paused = true)]
async fn closed_client_gets_nothing_of_a_late_answer_behind_a_filter() {
    let streams = Streams::new();
    let handler = async |subjects: Subjects| {
        time::sleep(3 * SECOND).await;
        subjects.add("user:7");
        tower_sse::response(stream::once(ready(Event::from("a"))))
    };
    let (filters, _log) = filters(PASS);
    let early = EarlyHeadLayer::new(SECOND).when(|_| true);
    let app = Router::new().route("/", get(handler)).layer(early).layer(filters);
    let app = app.layer(SseLayer::new().without_retry().streams(&streams));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(streams.close("user:7").await.unwrap(), 0);
    let (text, error) = read_to_end(response.into_body()).await;
    assert_eq!((&*text, error.is_none()), (": \n", true));
}

#[tokio::test(start_paused = true)]
async fn late_answer_behind_a_filter_ends_at_its_maximum_age() {
    let reports = Reports::default();
    let endless = async || {
        time::sleep(2 * SECOND).await;
        let one = stream::once(ready(Event::from("a"))).chain(stream::pending());
        tower_sse::response(one).with_options(StreamOptions::new().max_age(3 * SECOND))
    };
    let (filters, log) = filters(at_end(Choice::Fail));
    let early = EarlyHeadLayer::new(SECOND).when(|_| true);
    let app = Router::new().route("/", get(endless)).layer(early).layer(filters);
    let layer = SseLayer::new().without_retry().terminator("[DONE]");
    let app = app.layer(reports.observe(layer.on_error(|_| Event::from("failed"))));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let (text, error) = read_to_end(response.into_body()).await;
    assert_eq!((&*text, error.is_none()), (": \ndata: a\n\n", true));
    assert_eq!((reports.take(), outcome(&log)), (vec![CloseReason::Expired], "disconnected"));
}

/// The filter reads the answer before the layer gets the early head.
#[tokio::test(start_paused = true)]
async fn late_answer_behind_a_held_head_ends_at_its_maximum_age() {
    let endless = async || {
        time::sleep(2 * SECOND).await;
        let one = stream::once(time::sleep(SECOND)).map(|()| Event::from("a"));
        tower_sse::response(one.chain(stream::pending()))
            .with_options(StreamOptions::new().max_age(3 * SECOND))
    };
    let (filters, _log) = filters(PASS);
    let early = EarlyHeadLayer::new(SECOND).when(|_| true);
    let app = Router::new().route("/", get(endless)).layer(early);
    let app = app.layer(filters.hold_head(10 * SECOND)).layer(SseLayer::new().without_retry());
    let start = time::Instant::now();
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    let (text, error) = read_to_end(response.into_body()).await;
    assert_eq!((&*text, error.is_none()), (": \ndata: a\n\n", true));
    assert_eq!(start.elapsed(), 5 * SECOND);
}

/// The client's first event has an id, behind which the stream's start would send the client back.
#[tokio::test(start_paused = true)]
async fn first_visit_behind_a_held_head_starts_once() {
    for publishes in [true, false] {
        let hub = Hub::new();
        let topic = hub.clone();
        let visit = async move || {
            time::sleep(2 * SECOND).await;
            topic.subscribe(["news"]).resume(None).response()
        };
        let (filters, _log) = filters(PASS);
        let early = EarlyHeadLayer::new(SECOND).when(|_| true);
        let app = Router::new().route("/", get(visit)).layer(early);
        let layer = SseLayer::new().without_retry().without_heartbeat().max_age(5 * SECOND);
        let app = app.layer(filters.hold_head(10 * SECOND)).layer(layer);
        let publishing = async {
            time::sleep(3 * SECOND).await;
            if publishes {
                hub.publish("news", Event::from("a")).await.unwrap();
            }
        };
        let page = Requester::EventSource.request("/").map(|()| Body::empty());
        let (response, ()) = tokio::join!(app.oneshot(page), publishing);
        let (text, _) = read_to_end(response.unwrap().into_body()).await;
        let starts = text.matches("event: start").count();
        assert_eq!((starts, text.matches("id: ").count()), (usize::from(!publishes), 1), "{text}");
    }
}

/// With the id, the page gets a `204` once it reconnects.
#[tokio::test(start_paused = true)]
async fn page_of_a_run_that_is_cancelled_behind_a_held_head_stops() {
    let runs = Runs::new();
    let key = RunKey::shared("one").unwrap();
    let (shared, named) = (runs.clone(), key.clone());
    let handler = async move |request: Request<Body>| {
        let (parts, _) = request.into_parts();
        let endless = async || pending::<Result<stream::Pending<Event>, StatusCode>>().await;
        let run = shared.start_with(&named, &parts, endless).await.unwrap();
        run.unwrap().answer(&parts).await
    };
    let filters = FilterLayer::new(|_: &Request<Body>| Some(Sees(Arc::default())));
    let early = EarlyHeadLayer::new(SECOND).when(|_| true);
    let app = Router::new().route("/", get(handler)).layer(early);
    let app = app.layer(filters.hold_head(10 * SECOND)).layer(SseLayer::new().without_retry());
    let cancelling = async {
        time::sleep(2 * SECOND).await;
        assert!(runs.cancel(&key, None).await);
    };
    let page = Requester::EventSource.request("/").map(|()| Body::empty());
    let (response, ()) = tokio::join!(app.oneshot(page), cancelling);
    let (text, error) = read_to_end(response.unwrap().into_body()).await;
    assert_eq!((&*text, error.is_none()), (": \nid: tower-sse:interrupted\n\n", true));
}

#[tokio::test]
async fn refusal_and_interruption_are_no_streams_for_a_filter() {
    let request = Request::get("/").header("accept", "text/event-stream");
    let request = request.header("cache-control", "no-cache").header("last-event-id", "old-7");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let refusal = Refusal::per_client().retry(Retry::between(SECOND, SECOND)).answer(&parts);
    let interruption = StartError::NotFound.answer(&parts).map(BodyExt::boxed_unsync);
    for (answer, start) in
        [(refusal.map(BodyExt::boxed_unsync), "retry: "), (interruption, "event: interrupted\n")]
    {
        let (filters, log) = filters(at_end(Choice::Fail));
        let (text, error) = read_to_end(filtered(&filters, answer).into_body()).await;
        assert!(text.starts_with(start) && error.is_none(), "{text} {error:?}");
        assert_discarded(&log);
    }
}

/// A filter that records whether its source's error is the program's.
struct Sees(Arc<AtomicUsize>);

impl EventFilter for Sees {
    fn event(&mut self, _: EventRef<'_>) -> Verdict {
        Verdict::Pass
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        let is_programs = matches!(end, SourceEnd::Failed(error) if error.is::<fmt::Error>());
        self.0.fetch_add(usize::from(is_programs), SeqCst);
        Verdict::Pass
    }
}

#[tokio::test]
async fn filter_sees_the_error_of_the_program_inside_a_layer_too() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let filters = FilterLayer::new(move |_: &Request<()>| Some(Sees(Arc::clone(&counted))));
    let failing = || tower_sse::response(stream::iter([Ok(Event::from("a")), Err(fmt::Error)]));
    _ = read_to_end(filtered(&filters, failing()).into_body()).await;
    let layer: SseLayer = SseLayer::new();
    _ = read_to_end(through(&layer, filtered(&filters, failing())).into_body()).await;
    assert_eq!(seen.load(SeqCst), 2);
}

type Make = Box<dyn Fn(&Request<Body>) -> Option<Box<dyn EventFilter + Send>> + Send + Sync>;

/// Returns a layer whose type has a name, although its closure captures.
fn redacting(by: &'static str) -> FilterLayer<Make> {
    FilterLayer::new(Box::new(move |_| {
        Some(Box::new(filter::from_fn(move |event| Verdict::Replace(event.with_data(by)))))
    }))
}

async fn secret() -> Response<EventBody<stream::Iter<std::vec::IntoIter<Event>>>> {
    tower_sse::response(stream::iter(vec![Event::new().id(7).data("secret")]))
}

#[tokio::test]
async fn compressor_and_filter_outside_see_what_a_filter_sends() {
    let plus = |_: &Request<Body>| {
        Some(filter::from_fn(|event| {
            let data = event.data().replace('*', "+");
            Verdict::Replace(event.with_data(data))
        }))
    };
    let compress = CompressionLayer::new().compress_when(NotForContentType::const_new("x"));
    let app = Router::new().route("/", get(secret)).layer(redacting("***"));
    let app = app.layer(FilterLayer::new(plus)).layer(SseLayer::new()).layer(compress);
    let app = ServiceBuilder::new().layer(DecompressionLayer::new()).service(app);
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(read_to_end(response.into_body()).await.0, "data: +++\nid: 7\n\n");
}

/// Without `SseLayer`, hyper drops the events before the failure, and even the head.
#[tokio::test]
async fn failure_leaves_the_events_of_its_frame_under_the_layer() {
    for protocol in Protocol::BOTH {
        let (filters, log) = filters::<Body>(on_events(&[Choice::Pass, Choice::Fail]));
        let frame = async || event_stream(Body::from("data: a\n\ndata: b\n\n"));
        let app = Router::new().route("/", get(frame)).layer(filters).layer(SseLayer::new());
        let mut connection = protocol.connect(serve_axum(app).await).await;
        let (received, error) = read_to_end(connection.get("/").await.into_body()).await;
        assert!(error.is_some() && received.starts_with("data: a\n\n"), "{protocol:?}");
        assert!(!received.contains("data: b\n\n"), "{protocol:?}: {received}");
        assert_eq!(outcome(&log), "filter_failed");
    }
}
