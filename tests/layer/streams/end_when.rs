//! The end of one stream, by a token of its response.

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tower_sse::{CloseReason, SseLayer, StreamOptions};

use crate::support::{
    Feed, Polled, Reports, Requester, Wakes, answer_to, event_stream, poll_frame, poll_frame_with,
};

fn layer() -> SseLayer {
    SseLayer::new().without_heartbeat().terminator("[DONE]").farewell("bye")
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_response_ends_its_stream_alone() {
    for has_begun in [false, true] {
        let reports = Reports::default();
        let layer = reports.observe(layer());
        let token = CancellationToken::new();
        let open = |options: Option<StreamOptions>| {
            let (feed, source) = Feed::new();
            let mut answer = event_stream(source);
            if let Some(options) = options {
                answer.extensions_mut().insert(options);
            }
            let request = Requester::EventSource.request("/");
            (feed, answer_to(request, &layer, answer).into_body())
        };
        let (feed, mut body) = open(Some(StreamOptions::new().end_when(token.clone())));
        let (_other_feed, mut other) = open(None);
        let wakes = std::sync::Arc::<Wakes>::default();
        let waker = std::task::Waker::from(std::sync::Arc::clone(&wakes));
        if has_begun {
            assert_eq!(poll_frame_with(&mut body, &waker), Polled::Pending);
        }
        token.cancel();
        assert_eq!(wakes.take(), usize::from(has_begun));
        feed.data("data: secret\n\n");
        assert_eq!(poll_frame(&mut body), Polled::End);
        assert!(feed.is_dropped());
        assert_eq!(reports.take(), [CloseReason::Revoked]);
        assert_eq!(poll_frame(&mut other), Polled::Pending);
    }
}

/// As for any option, a response can turn off that of its layer.
#[tokio::test(start_paused = true)]
async fn the_token_of_a_layer_ends_all_streams_but_those_that_turn_it_off() {
    let token = CancellationToken::new();
    let layer = layer().options(StreamOptions::new().end_when(token.clone()));
    let (_first, source) = Feed::new();
    let mut all = answer_to(Requester::EventSource.request("/"), &layer, event_stream(source));
    let (_second, source) = Feed::new();
    let mut answer = event_stream(source);
    answer.extensions_mut().insert(StreamOptions::new().without_end_when());
    let mut off = answer_to(Requester::EventSource.request("/"), &layer, answer);
    token.cancel();
    assert_eq!(poll_frame(all.body_mut()), Polled::End);
    assert_eq!(poll_frame(off.body_mut()), Polled::Pending);
}
