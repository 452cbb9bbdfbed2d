use axum::{body::Body, extract::Request, response::Response};
use tower::BoxError;
use tower_http::timeout::ResponseBodyDeadlineLayer;

use super::application::{application, open};
use super::*;
use crate::*;

/// Asserts that a second request is shed while one is in progress, and that a stream passes once
/// that request is dropped.
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

const TIMED_OUT: &str = "data was not received within the designated timeout";

/// Returns a layer with a heartbeat of one second, whose deadlines are at most a sixteenth late.
fn one_second_heartbeat() -> SseLayer {
    SseLayer::new().heartbeat(Heartbeat::every(SECOND))
}

/// Counts the frames until the body ends or fails, up to `most`. All of them must be comment lines:
/// heartbeats, or the last bytes before a failure.
async fn count_comment_lines(body: &mut Body, most: usize) -> (usize, Option<String>) {
    for count in 0..most {
        match body.frame().await {
            Some(Ok(frame)) => assert_eq!(frame.into_data().unwrap(), ": \n"),
            Some(Err(error)) => return (count, Some(error.to_string())),
            None => return (count, None),
        }
    }
    (most, None)
}

/// A deadline for the whole body does not depend on the stream's activity: it can cut the stream
/// mid-event, and the client sees a failure. `max_age` also limits the age of streams, but waits
/// some seconds for the end of an event.
#[tokio::test(start_paused = true)]
async fn body_deadline_cuts_a_stream_mid_event() {
    // If the deadline's layer is inside, `SseLayer` sends a last line and delays the failure.
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

/// Over HTTP/1, `GrpcWebLayer` accepts only grpc-web calls, on either side of `SseLayer`.
#[tokio::test]
async fn grpc_web_around_everything_answers_400_to_event_streams() {
    let app = || application().0;
    for app in [
        app().layer(SseLayer::new()).layer(GrpcWebLayer::new()),
        app().layer(GrpcWebLayer::new()).layer(SseLayer::new()),
    ] {
        let response = call(&app, Requester::EventSource.request("/events")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
