//! Two layers around one response.

use tower_sse::{SseLayer, streams::Streams};

use super::rig::{add, layer, now};
use crate::support::*;

type Body = tower_sse::SseBody<tower_sse::SseBody<FedBody>>;

fn open(outer: &SseLayer, inner: &SseLayer) -> (Feed, Body) {
    let (feed, source) = Feed::new();
    let answer = answer_by(Requester::EventSource.request("/"), outer, |request| {
        answer_by(request, inner, |request| {
            add(&request, &["a"]);
            event_stream(source)
        })
    });
    (feed, answer.into_body())
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_once_whichever_layers_have_streams() {
    let streams = Streams::new();
    let (with, without): (SseLayer, SseLayer) = (layer(&streams), SseLayer::new());
    for (outer, inner) in [(&with, &with), (&with, &without), (&without, &with)] {
        let (_feed, mut body) = open(outer, inner);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        assert_eq!(streams.count("a"), 1);
        assert_eq!(now(streams.close("a")), 1);
        assert_eq!(poll_frame(&mut body), Polled::End);
        let (_feed, body) = open(outer, inner);
        drop(body);
        assert_eq!(streams.subjects(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_layers_streams_replace_those_of_the_outer_one() {
    let (outside, inside) = (Streams::new(), Streams::new());
    let (_feed, mut body) = open(&layer(&outside), &layer(&inside));
    assert_eq!((outside.count("a"), inside.count("a")), (0, 1));
    assert_eq!(now(inside.close("a")), 1);
    assert_eq!(poll_frame(&mut body), Polled::End);
}
