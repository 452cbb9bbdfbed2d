use axum::body::Body;
use tower_http::timeout::{ResponseBodyDeadlineLayer, ResponseBodyTimeoutLayer, TimeoutLayer};

use super::application::{Place, call, get_request, open};
use crate::*;

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
