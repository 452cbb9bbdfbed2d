use std::time::Duration;

use http::Request;
use tokio::time::advance;
use tower_sse::{MaxAge, SseLayer, StreamOptions};

use crate::support::{Feed, Polled, answer_to, data, event_stream, poll_frame};

const AGE: Duration = Duration::from_secs(60);

/// A layer without an option that depends on the client does not inspect requests. After a failure
/// every client that can reconnect does.
#[tokio::test(start_paused = true)]
async fn a_layer_that_does_not_inspect_requests_fails_streams_at_their_maximum_age() {
    for (layer, clean) in [(SseLayer::new(), false), (SseLayer::new().without_max_age(), true)] {
        let request = Request::get("/")
            .header("accept", "text/event-stream")
            .header("cache-control", "no-cache")
            .body(())
            .unwrap();
        let (_feed, source) = Feed::new();
        let mut answer = event_stream(source);
        answer.extensions_mut().insert(StreamOptions::new().max_age(MaxAge::new(AGE)));
        let mut body = answer_to(request, &layer, answer).into_body();
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        advance(AGE).await;
        if clean {
            assert_eq!(poll_frame(&mut body), Polled::End);
        } else {
            assert_eq!(poll_frame(&mut body), data(":\n"));
            assert_eq!(poll_frame(&mut body), Polled::Pending);
            advance(Duration::from_millis(20)).await;
            assert!(matches!(poll_frame(&mut body), Polled::Failed(_)));
        }
    }
}
