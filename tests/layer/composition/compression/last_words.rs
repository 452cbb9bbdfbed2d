//! The time at which a cut stream fails. A server drops the last bytes once it has written them,
//! and then the stream may fail. An outer compressor keeps them until more bytes come, so that
//! their drop says nothing, and the stream fails when the wait times out.

use std::time::Duration;

use axum::{Router, body::Body};
use tokio::time::advance;
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, SseLayer};

use super::super::application::{application, call, get_request};
use super::everything;
use crate::support::*;

const FETCH: [(&str, &str); 3] =
    [("accept", "text/event-stream"), ("sec-fetch-mode", "cors"), ("accept-encoding", "gzip")];
/// The minimum delay of any failure.
const HELD_BACK: Duration = Duration::from_millis(20);
/// The maximum delay: a server that keeps the last bytes for longer may keep them forever.
const GIVE_UP: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

fn app(shutdown: &CancellationToken) -> (Router, Sources) {
    let (app, sources) = application();
    let layer = SseLayer::new().shutdown(shutdown.clone()).farewell(Event::from("bye"));
    (app.layer(layer), sources)
}

/// Returns a body that has yielded its last bytes, and these bytes.
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
async fn behind_a_compressor_the_body_fails_after_one_second() {
    for written in [true, false] {
        let shutdown = CancellationToken::new();
        let (app, _sources) = app(&shutdown);
        let (mut body, last) = last_words(app.layer(everything()), &shutdown).await;
        let _unwritten = (!written).then_some(last);
        advance(GIVE_UP - MOMENT).await;
        idle(&mut body, 2 * MOMENT).await;
        idle(&mut body, HELD_BACK + MOMENT).await;
        assert!(matches!(poll_frame(&mut body), Polled::Failed(_)), "written: {written}");
    }
}
