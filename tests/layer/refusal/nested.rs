use std::{convert::Infallible, future::ready};

use futures_util::FutureExt;
use http::{HeaderMap, Request, StatusCode};
use tower::{Layer, Service, service_fn};
use tower_sse::{Event, Refusal, Retry, SseLayer, Stats};

use super::{
    Because, SECOND, assert_come_back, assert_unavailable, event_source, full, refusing,
    two_seconds,
};
use crate::{
    kind::{Bodies, Source, Streams, open},
    support::{Feed, Polled, event_stream, poll_frame, source::answer_to, through},
};

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
            let (inner, _kept) = full(two_seconds(Refusal::by_request()));
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

/// What owns a stream decides when it is refused and when it ends.
#[test]
fn an_outer_layer_does_not_refuse_what_an_inner_one_has_opened() {
    for because in [Because::Limit, Because::Shutdown] {
        let (outer, _kept) = refusing::<Bodies>(because, Refusal::by_request());
        let inner = SseLayer::new();
        let response = through(&outer, through(&inner, event_stream(Feed::new().1)));
        assert_eq!(response.status(), StatusCode::OK, "{because:?}");
        assert_eq!(poll_frame(&mut response.into_body()), Polled::Pending);
    }
}

#[test]
fn an_inner_layer_of_bare_streams_refuses_through_an_outer_one() {
    let (inner, _kept) = refusing::<Streams>(Because::Limit, two_seconds(Refusal::by_request()));
    let service = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Source::new().1)));
    let mut service = SseLayer::new().padding(9).layer(inner.layer(service));
    let Ok(response) = service.call(event_source()).now_or_never().unwrap();
    assert_come_back(response, "EventSource");
    let Ok(response) = service.call(Request::new(())).now_or_never().unwrap();
    assert_unavailable(response, "others");
}
