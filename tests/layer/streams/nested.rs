//! Two layers around one response.

use std::{convert::Infallible, future::ready};

use futures_util::FutureExt;
use http::Request;
use tower::{Layer, Service, service_fn};
use tower_sse::{SseLayer, streams::Streams};

use super::rig::{add, layer, now};
use crate::support::*;

type Body = tower_sse::SseBody<tower_sse::SseBody<FedBody>>;

fn open(outer: &SseLayer, inner: &SseLayer) -> (Feed, Body) {
    let (feed, source) = Feed::new();
    let mut source = Some(source);
    let service = service_fn(move |request: Request<()>| {
        add(&request, &["a"]);
        ready(Ok::<_, Infallible>(event_stream(source.take().expect("one request"))))
    });
    let mut service = outer.layer(inner.layer(service));
    let request = Requester::EventSource.request("/");
    let body = service.call(request).now_or_never().unwrap().unwrap().into_body();
    (feed, body)
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
