use axum::{body::Body, extract::Request, response::Response};
use tower::BoxError;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::{ResponseBodyDeadlineLayer, ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_http::{ServiceBuilderExt, normalize_path::NormalizePathLayer};

use super::application::{application, open};
use super::*;
use crate::*;

/// tower's limit counts requests in progress and not open streams: its permit is released as soon
/// as the head is ready.
#[tokio::test]
async fn concurrency_limit_counts_heads_not_streams() {
    for place in Place::BOTH {
        let (app, mut sources) = place.compose(SseLayer::new(), ConcurrencyLimitLayer::new(1));

        let first = call(&app, get_request("/events", &[])).await;
        let second = call(&app, get_request("/events", &[])).await;
        for response in [first, second] {
            assert_streams(response, sources.next().await).await;
        }
    }
}

/// Asserts that a second request is shed while one is in progress, and that a stream passes once
/// there is room.
async fn assert_sheds<S, B>(service: S, mut sources: Sources)
where
    S: Service<Request, Response = Response<B>, Error = BoxError> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    {
        let mut at_work = pin!(service.clone().oneshot(get_request("/never", &[])));
        assert!(poll!(&mut at_work).is_pending());
        let shed = service.clone().oneshot(get_request("/events", &[])).await;
        assert!(shed.err().expect("no room").is::<Overloaded>());
        assert!(sources.is_empty());
    }
    let response = service.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;
}

#[tokio::test]
async fn load_shed_sheds_outside_and_inside() {
    let (app, sources) = application();
    let outside = ServiceBuilder::new().load_shed().concurrency_limit(1).layer(SseLayer::new());
    assert_sheds(outside.service(app), sources).await;

    let (app, sources) = application();
    let inside = ServiceBuilder::new().layer(SseLayer::new()).load_shed().concurrency_limit(1);
    assert_sheds(inside.service(app), sources).await;
}

#[tokio::test]
async fn buffer_passes_streams_outside_and_inside() {
    let (app, mut sources) = application();
    let outside = ServiceBuilder::new().buffer(4).layer(SseLayer::new()).service(app);
    let response = outside.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;

    let (app, mut sources) = application();
    let inside = ServiceBuilder::new().layer(SseLayer::new()).buffer(4).service(app);
    let response = inside.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;
}

#[tokio::test]
async fn error_type_of_a_service_is_kept() {
    async fn fails(_: Request) -> io::Result<Response> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    let plain = ServiceBuilder::new().layer(SseLayer::new()).service_fn(fails);
    let error: io::Error = plain.oneshot(Request::default()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);

    let outside = ServiceBuilder::new().buffer(4).layer(SseLayer::new()).service_fn(fails);
    let inside = ServiceBuilder::new().layer(SseLayer::new()).buffer(4).service_fn(fails);
    for error in [
        outside.oneshot(Request::default()).await.unwrap_err(),
        inside.oneshot(Request::default()).await.unwrap_err(),
    ] {
        let error = error.downcast::<io::Error>().expect("the service's own error");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}

#[tokio::test]
async fn service_that_cannot_fail_still_cannot() {
    fn infallible<S: Service<Request<Body>, Error = Infallible>>(service: S) -> S {
        service
    }

    let (app, mut sources) = application();
    let service = infallible(ServiceBuilder::new().layer(SseLayer::new()).service(app));
    let Ok(response) = service.oneshot(get_request("/events", &[])).await;
    assert_streams(response, sources.next().await).await;

    let service =
        ServiceBuilder::new().layer(SseLayer::new()).service(service_fn(|_: Request| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
    infallible(service).oneshot(Request::default()).await.unwrap();
}

#[tokio::test]
async fn catch_panic_leaves_streams_alone() {
    for place in Place::BOTH {
        let app = place.compose(SseLayer::new(), CatchPanicLayer::new());
        let (response, source) = open_served(app, &[]).await;
        assert_streams(response, source).await;
    }
}

#[tokio::test]
async fn handler_panic_becomes_a_500() {
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CatchPanicLayer::new());

        let response = call(&app, get_request("/panic", &[])).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{place:?}");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }
}

/// `CatchPanic` guards the response's future and not its body, whatever layers are in between.
#[tokio::test]
async fn body_panic_is_not_caught() {
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CatchPanicLayer::new());

        let mut body = call(&app, get_request("/panic-in-body", &[])).await.into_body();
        let panic = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the body"), "{place:?}");
    }
}

#[tokio::test]
async fn stream_is_in_flight_until_it_ends_or_its_client_leaves() {
    for (place, ends) in Place::BOTH.into_iter().flat_map(|place| [(place, true), (place, false)]) {
        let _case = case(format!("{place:?}, it ends: {ends}"));
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let (mut body, source) = open(place.compose(SseLayer::new(), layer), Requester::Get).await;
        assert_eq!(in_flight.get(), 1, "after the head");
        source.send("one");
        assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
        assert_eq!(in_flight.get(), 1, "in mid-stream");
        if ends {
            drop(source);
            assert_eq!(poll_frame(&mut body), Polled::End);
        }
        drop(body);
        assert_eq!(in_flight.get(), 0);
    }
}

/// An inner body is dropped when the end is decided, not when the server drops the outer one.
#[tokio::test(start_paused = true)]
async fn layer_inside_is_released_at_once_when_the_source_fails() {
    let (layer, in_flight) = InFlightRequestsLayer::pair();
    let (mut body, source) =
        open(Place::Inside.compose(SseLayer::new(), layer), Requester::Get).await;
    source.fail(io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), data(":\n"));
    assert_eq!(in_flight.get(), 0, "before the error is held back");
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(in_flight.get(), 0, "while the error is held back");
    advance(Duration::from_millis(21)).await;
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}

#[tokio::test]
async fn request_id_is_set_and_returned() {
    for place in Place::BOTH {
        let ids = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id());
        let (app, mut sources) = place.compose(SseLayer::new(), ids);
        let address = serve_axum(app).await;

        let response = client::get(address, "/events", &[]).await;
        let source = sources.next().await;
        let id = source.request().extensions.get::<RequestId>().expect("a request id").clone();
        assert_eq!(response.headers().get("x-request-id"), Some(id.header_value()), "{place:?}");
        assert_streams(response, source).await;

        let response = client::get(address, "/events", &[("x-request-id", "theirs")]).await;
        assert_eq!(response.headers()["x-request-id"], "theirs", "{place:?}");
    }
}

#[tokio::test]
async fn two_halves_of_request_ids_can_be_on_either_side() {
    let (app, mut sources) = application();
    let service = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .layer(SseLayer::new())
        .propagate_x_request_id()
        .service(app);
    let address = serve_axum(Router::new().fallback_service(service)).await;

    let response = client::get(address, "/events", &[]).await;
    let source = sources.next().await;
    assert_eq!(response.headers()["x-request-id"], source.request().headers["x-request-id"]);
    assert_streams(response, source).await;
}

#[tokio::test]
async fn normalized_path_keeps_its_query_and_the_last_event_id() {
    let sse: SseLayer = SseLayer::new().last_event_id_query("lastEventId");
    for place in Place::BOTH {
        let (app, mut sources) = application();
        let normalize = NormalizePathLayer::trim_trailing_slash();
        // Routing happens inside a `Router`, so a layer that changes paths must surround it.
        let address = serve_axum(match place {
            Place::Inside => Router::new().fallback_service(sse.layer(normalize.layer(app))),
            Place::Outside => Router::new().fallback_service(normalize.layer(sse.layer(app))),
        })
        .await;

        for (path, headers) in [
            ("/events/", &[("last-event-id", "7")][..]),
            ("/events//?lastEventId=7", &[]),
            ("/events/?lastEventId=8", &[("last-event-id", "7")]),
        ] {
            let response = client::get(address, path, headers).await;
            let source = sources.next().await;
            assert_eq!(source.request().uri.path(), "/events", "{place:?} {path}");
            let last = source.request().extensions.get::<LastEventId>().expect("a last event id");
            assert_eq!(last.as_str(), "7", "{place:?} {path}");
            assert_streams(response, source).await;
        }
    }
}

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

/// A `fetch` with this header from another origin sends a preflight.
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

const TIMED_OUT: &str = "data was not received within the designated timeout";

/// Returns a layer with a heartbeat of one second, whose deadlines are at most a sixteenth late.
fn one_second_heartbeat() -> SseLayer {
    SseLayer::new().heartbeat(Heartbeat::every(SECOND))
}

/// Counts the frames before the body ends or fails. All of them must be comment lines: heartbeats,
/// or the last bytes before a failure.
async fn count_comment_lines(body: &mut Body, most: usize) -> (usize, Option<String>) {
    for count in 0..most {
        match body.frame().await {
            Some(Ok(frame)) => assert_eq!(frame.into_data().unwrap(), ":\n"),
            Some(Err(error)) => return (count, Some(error.to_string())),
            None => return (count, None),
        }
    }
    (most, None)
}

#[tokio::test(start_paused = true)]
async fn timeout_does_not_cut_a_stream() {
    for place in Place::BOTH {
        let layer = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND);
        let (app, mut sources) = place.compose(SseLayer::new(), layer);

        let response = call(&app, get_request("/events", &[])).await;
        let source = sources.next().await;
        let mut events = EventReader::new(response);
        for _ in 0..3 {
            advance(60 * SECOND).await;
            source.send("still here");
            assert_eq!(events.next().await.unwrap().data, "still here", "{place:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_still_answers_when_no_head_comes() {
    for place in Place::BOTH {
        let layer = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND);
        let (app, _sources) = place.compose(SseLayer::new(), layer);

        let response = call(&app, get_request("/never", &[])).await;
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT, "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_stream_alive_under_an_outer_body_timeout() {
    let layer = ResponseBodyTimeoutLayer::new(2 * SECOND);
    let app = Place::Outside.compose(one_second_heartbeat(), layer);
    let (mut body, source) = open(app, Requester::Get).await;
    assert_eq!(count_comment_lines(&mut body, 100).await, (100, None));
    source.send("one");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: one\n\n");
}

/// An inner timer does not see heartbeats: it mistakes an idle source for a dead one.
#[tokio::test(start_paused = true)]
async fn inner_body_timeout_fails_a_silent_source() {
    let layer = ResponseBodyTimeoutLayer::new(Duration::from_millis(2500));
    let app = Place::Inside.compose(one_second_heartbeat(), layer);
    let (mut body, source) = open(app, Requester::Get).await;
    let silent_since = Instant::now();
    let (lines, error) = count_comment_lines(&mut body, 100).await;
    let heartbeats = 2;
    assert_eq!((lines, error.as_deref()), (heartbeats + 1, Some(TIMED_OUT)));
    let (silence, due) = (silent_since.elapsed(), Duration::from_millis(2500 + 20));
    assert!(silence >= due && silence < due + SECOND / 100, "the error came after {silence:?}");
    assert!(body.frame().await.is_none());
    source.dropped().await;
}

/// A deadline for the whole body does not depend on the stream's activity: it cuts the stream
/// mid-event, and its clients see a failure. To limit the age of streams end the source between
/// events and cleanly, as `take_until` does.
#[tokio::test(start_paused = true)]
async fn body_deadline_cuts_a_stream_mid_event() {
    // The layer observes an inner failure: it sends a last line and delays the failure.
    for (place, last_lines, held_back) in [(Place::Inside, 1, 20), (Place::Outside, 0, 0)] {
        let layer = ResponseBodyDeadlineLayer::new(Duration::from_millis(2500));
        let opened = Instant::now();
        let app = place.compose(one_second_heartbeat(), layer);
        let (mut body, source) = open(app, Requester::Get).await;
        source.send("one");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: one\n\n");
        let (lines, error) = count_comment_lines(&mut body, 100).await;
        let expected = (2 + last_lines, Some(TIMED_OUT));
        assert_eq!((lines, error.as_deref()), expected, "{place:?}");
        let (age, due) = (opened.elapsed(), Duration::from_millis(2500 + held_back));
        assert!(age >= due && age < due + SECOND / 100, "{place:?}: the error came after {age:?}");
    }
}

/// Over HTTP/1 it accepts only grpc-web calls, on either side of `SseLayer`.
#[tokio::test]
async fn grpc_web_around_everything_answers_400_to_event_streams() {
    for outside in [true, false] {
        let (app, sources) = application();
        let app = if outside {
            app.layer(SseLayer::new()).layer(GrpcWebLayer::new())
        } else {
            app.layer(GrpcWebLayer::new()).layer(SseLayer::new())
        };
        let response = call(&app, Requester::EventSource.request("/events")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "outside: {outside}");
        assert!(sources.is_empty());
    }
}

#[tokio::test]
async fn grpc_web_around_the_calls_alone_leaves_event_streams_alone() {
    let (events, mut sources) = application();
    let calls = Router::new().route("/call", axum::routing::post(|| async {}));
    let app = calls.layer(GrpcWebLayer::new()).merge(events).layer(SseLayer::new());
    let mut connection = connect_h1(serve_axum(app).await).await;

    let request = Requester::EventSource.request("/events");
    let response = connection.send_request(request).await.unwrap();
    assert_streams(response, sources.next().await).await;
}
