use http::{HeaderMap, Request, StatusCode};
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, Refusal, Retry, SseLayer, Stats};

use super::{
    RefusalCause, SECOND, assert_come_back, assert_unavailable, event_source, full, refusing,
    two_seconds,
};
use crate::support::*;

#[test]
fn an_outer_layer_passes_the_refusal_of_an_inner_one_untouched() {
    for request in [event_source, || Request::new(())] {
        let outer_stats = Stats::new();
        let outer = SseLayer::new()
            .stats(&outer_stats)
            .max_streams(1)
            .padding(9)
            .retry(Retry::fixed(60 * SECOND))
            .terminator(Event::from("end"))
            .refusal(Refusal::unavailable());
        for outer in [outer.clone(), outer.clone().track_disconnects(true)] {
            let (inner, _kept) = full(two_seconds(Refusal::per_client()));
            let refused = || answer_to(request(), &inner, event_stream(Feed::new().1));
            let alone: HeaderMap = refused().headers().clone();
            let response = answer_to(request(), &outer, refused());
            assert_eq!(*response.headers(), alone);
            match response.status() {
                StatusCode::OK => assert_come_back(response, "of the inner layer"),
                _ => assert_unavailable(response, "of the inner layer"),
            }
            let counted = outer_stats.snapshot();
            assert_eq!((counted.opened(), counted.refused()), (0, 0), "it is not its own");
        }
        assert!(open::<Bodies>(&outer).is_ok(), "no place was taken");
    }
}

/// The layer that owns a stream counts it.
#[tokio::test(start_paused = true)]
async fn an_outer_layer_at_its_limit_passes_streams_that_an_inner_layer_opened() {
    let (outer, _kept) = refusing::<Bodies>(RefusalCause::Limit, Refusal::per_client());
    let inner = SseLayer::new();
    let response = through(&outer, through(&inner, event_stream(Feed::new().1)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(poll_frame(&mut response.into_body()), Polled::Pending);
}

/// A server that shuts down opens no more streams, whichever layer has the token.
#[test]
fn an_outer_layer_that_shuts_down_refuses_streams_that_an_inner_layer_opened() {
    let (outer, _kept) =
        refusing::<Bodies>(RefusalCause::Shutdown, two_seconds(Refusal::per_client()));
    let (feed, source) = Feed::new();
    let inner = SseLayer::new();
    let response =
        answer_to(event_source(), &outer, answer_to(event_source(), &inner, event_stream(source)));
    assert_come_back(response, "of the outer layer");
    assert!(feed.is_dropped());
    let response = through(&outer, through(&inner, event_stream(Feed::new().1)));
    assert_unavailable(response, "of the outer layer");
}

#[test]
fn an_outer_layer_that_shuts_down_passes_heads_and_other_statuses() {
    let (outer, _kept) = refusing::<Bodies>(RefusalCause::Shutdown, Refusal::per_client());
    let inner = SseLayer::new();
    let head = || Request::head("/").body(()).unwrap();
    let answer = answer_to(head(), &inner, event_stream(Feed::new().1));
    assert_eq!(answer_to(head(), &outer, answer).status(), StatusCode::OK);
    let answer = event_stream(Feed::new().1).with_status(404);
    let answer = answer_to(event_source(), &inner, answer);
    assert_eq!(answer_to(event_source(), &outer, answer).status(), StatusCode::NOT_FOUND);
}

/// The graceful shutdown waits for every body, including those of a route with a layer of its own.
#[tokio::test(start_paused = true)]
async fn the_shutdown_of_an_outer_layer_ends_a_stream_whose_owner_has_none() {
    let shutdown = CancellationToken::new();
    let outer = SseLayer::new().shutdown(shutdown.clone());
    let (feed, source) = Feed::new();
    let inner = SseLayer::new().farewell(Event::from("bye"));
    let owned = answer_to(event_source(), &inner, event_stream(source));
    let passed = answer_to(event_source(), &SseLayer::new(), owned);
    let mut body = answer_to(event_source(), &outer, passed).into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    shutdown.cancel();
    let Polled::Data(goodbye) = poll_frame(&mut body) else { panic!("no goodbye") };
    assert!(goodbye.starts_with(b"retry: ") && goodbye.ends_with(b"data: bye\n\n"));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(feed.is_dropped());
}

#[test]
fn an_inner_layer_of_bare_streams_refuses_through_an_outer_one() {
    let (inner, _kept) =
        refusing::<Streams>(RefusalCause::Limit, two_seconds(Refusal::per_client()));
    let refused = |request| {
        answer_by(request, &SseLayer::new().padding(9), |request| {
            answer_to(request, &inner, Source::new().1)
        })
    };
    assert_come_back(refused(event_source()), "EventSource");
    assert_unavailable(refused(Request::new(())), "others");
}
