//! The time at which a cut stream fails. A server drops the last bytes once it has written them,
//! and then the stream may fail. An outer compressor keeps them until more bytes come, so that
//! their drop says nothing, and the stream fails when the wait times out.

use super::{
    super::application::{Place, call},
    everything,
};
use crate::*;

/// The minimum delay of any failure.
const HELD_BACK: Duration = Duration::from_millis(20);
/// The maximum delay: a server that keeps the last bytes for longer may keep them forever.
const GIVE_UP: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn behind_a_compressor_the_body_fails_after_one_second() {
    for written in [true, false] {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).farewell(Event::from("bye"));
        let (app, _sources) = Place::Outside.compose(layer, everything());
        let mut request = Requester::Fetch.request("/events");
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
        let mut body = call(&app, request).await.into_body();
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        shutdown.cancel();
        let last = poll_frame(&mut body);
        assert!(matches!(last, Polled::Data(_)), "{last:?}");
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        let _unwritten = (!written).then_some(last);
        advance(GIVE_UP - MILLISECOND).await;
        idle(&mut body, 2 * MILLISECOND).await;
        idle(&mut body, HELD_BACK + MILLISECOND).await;
        assert!(matches!(poll_frame(&mut body), Polled::Failed(_)), "written: {written}");
    }
}
