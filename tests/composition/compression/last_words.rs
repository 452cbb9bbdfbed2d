//! When a stream that is cut short fails. A server drops its last bytes when it has written them,
//! and then it may fail. A compressor outside keeps them for as long as nothing else comes, so that
//! their drop says nothing, and the failure comes when the wait is given up.

use std::time::Duration;

use axum::{Router, body::Body};
use tokio::time::advance;
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, SseLayer};

use super::everything;
use crate::{
    application::{Sources, application, call, get_request},
    support::{Polled, poll_frame},
};

const FETCH: [(&str, &str); 3] =
    [("accept", "text/event-stream"), ("sec-fetch-mode", "cors"), ("accept-encoding", "gzip")];
/// The time that any failure is held back for.
const HELD_BACK: Duration = Duration::from_millis(20);
/// A server that keeps the last bytes for longer may keep them for ever.
const GIVE_UP: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

fn app(shutdown: &CancellationToken) -> (Router, Sources) {
    let (app, sources) = application();
    let layer = SseLayer::new().shutdown(shutdown.clone()).farewell(Event::from("bye"));
    (app.layer(layer), sources)
}

/// A body that has given its last bytes, and these.
async fn last_words(app: Router, shutdown: &CancellationToken) -> (Body, Polled) {
    let mut body = call(&app, get_request("/events", &FETCH)).await.into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    shutdown.cancel();
    let last = poll_frame(&mut body);
    assert!(matches!(last, Polled::Data(_)), "{last:?}");
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    (body, last)
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_until_the_server_has_dropped_the_last_bytes() {
    let shutdown = CancellationToken::new();
    let (app, _sources) = app(&shutdown);
    let (mut body, last) = last_words(app, &shutdown).await;
    advance(10 * HELD_BACK).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    drop(last);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(HELD_BACK + MOMENT).await;
    assert!(matches!(poll_frame(&mut body), Polled::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn behind_a_compressor_it_waits_for_a_second_whatever_the_server_has_written() {
    for written in [true, false] {
        let shutdown = CancellationToken::new();
        let (app, _sources) = app(&shutdown);
        let (mut body, last) = last_words(app.layer(everything()), &shutdown).await;
        let _unwritten = (!written).then_some(last);
        advance(GIVE_UP - MOMENT).await;
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        advance(2 * MOMENT).await;
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        advance(HELD_BACK + MOMENT).await;
        assert!(matches!(poll_frame(&mut body), Polled::Failed(_)), "written: {written}");
    }
}
