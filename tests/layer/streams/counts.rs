//! No response leaves a count behind, whatever becomes of it.

use std::{convert::Infallible, future::ready, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_sse::{SseLayer, marker, streams::Streams};

use super::rig::{add, layer, now};
use crate::support::{ExitPath, Feed, Kind, Polled, Requester, event_stream, poll_frame};

fn assert_nothing_counts(streams: &Streams) {
    assert_eq!(streams.subjects(), []);
    assert_eq!(now(streams.close("a")), 0);
}

/// Answers a request that has a subject.
fn answer<B>(
    streams: &Streams,
    layer: SseLayer,
    method: Method,
    answer: Response<B>,
) -> Response<tower_sse::SseBody<B>>
where
    B: http_body::Body<Data = bytes::Bytes, Error: Into<tower_sse::BoxError>>,
{
    let mut answer = Some(answer);
    let mut service = layer.streams(streams).layer(service_fn(move |request: Request<()>| {
        add(&request, &["a"]);
        ready(Ok::<_, Infallible>(answer.take().expect("one request")))
    }));
    let request = Request::builder().method(method).body(()).unwrap();
    service.call(request).now_or_never().expect("ready").unwrap()
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_stream_leave_no_count() {
    let streams = Streams::new();
    let page = Response::new(Full::<bytes::Bytes>::from("a page"));
    let page = answer(&streams, SseLayer::new(), Method::GET, page);
    assert_nothing_counts(&streams);
    drop(page);

    let stream = || event_stream(Feed::new().1);
    let head = answer(&streams, SseLayer::new(), Method::HEAD, stream());
    assert_nothing_counts(&streams);
    drop(head);

    let mut not_modified = stream();
    *not_modified.status_mut() = StatusCode::NOT_MODIFIED;
    let not_modified = answer(&streams, SseLayer::new(), Method::GET, not_modified);
    assert_nothing_counts(&streams);
    drop(not_modified);

    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let draining = SseLayer::new().shutdown(shutdown);
    let refused = answer(&streams, draining, Method::GET, stream());
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_nothing_counts(&streams);

    let strict = SseLayer::new().require_accept(true);
    let mut not_acceptable = Request::new(());
    not_acceptable.headers_mut().insert("accept", "text/html".parse().unwrap());
    let mut service = strict.streams(&streams).layer(service_fn(|request: Request<()>| {
        add(&request, &["a"]);
        ready(Ok::<_, Infallible>(event_stream(Feed::new().1)))
    }));
    let answer = service.call(not_acceptable).now_or_never().unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
    assert_nothing_counts(&streams);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_another_status_counts_like_any_other() {
    let streams = Streams::new();
    let mut stream = event_stream(Feed::new().1);
    *stream.status_mut() = StatusCode::NOT_FOUND;
    let body = answer(&streams, layer(&streams), Method::GET, stream).into_body();
    assert_eq!(streams.count("a"), 1);
    drop(body);
    assert_nothing_counts(&streams);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_is_dropped_leaves_no_count() {
    let streams = Streams::new();
    let mut panics = layer(&streams).layer(service_fn(async |request: Request<()>| {
        add(&request, &["a"]);
        if request.method() == Method::GET {
            panic!("in the handler");
        }
        Ok::<_, Infallible>(event_stream(Feed::new().1))
    }));
    let call = AssertUnwindSafe(panics.call(Request::new(()))).catch_unwind();
    assert!(call.now_or_never().expect("ready").is_err());
    assert_nothing_counts(&streams);

    let mut waits = layer(&streams).layer(service_fn(async |request: Request<()>| {
        add(&request, &["a"]);
        std::future::pending::<Result<Response<crate::support::FedBody>, Infallible>>().await
    }));
    assert!(waits.call(Request::new(())).now_or_never().is_none());
    assert_nothing_counts(&streams);
}

/// Tickets of failed log-ins own nothing.
#[test]
fn a_storm_of_failed_log_ins_leaves_nothing() {
    let streams = Streams::new();
    let counted = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            let mut request = Request::new(());
            streams.subjects_of(&mut request).add("a");
        }
    });
    assert_eq!(counted.bytes_current, 0);
}

async fn every_exit_path<K: Kind>() {
    for exit in ExitPath::ALL {
        let streams = Streams::new();
        let layer = SseLayer::<K::Marker>::new().streams(&streams);
        exit.go::<K>(&layer).await;
        assert_eq!(streams.subjects(), [], "{exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_without_subjects_run_as_before() {
    every_exit_path::<crate::support::Bodies>().await;
    every_exit_path::<crate::support::Responses>().await;
    every_exit_path::<crate::support::Streams>().await;
}

#[tokio::test(start_paused = true)]
async fn a_bare_stream_can_be_closed() {
    let streams = Streams::new();
    let layer = SseLayer::<marker::Events>::new().streams(&streams);
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        add(&request, &["a"]);
        Ok::<_, Infallible>(crate::support::Source::new().1)
    }));
    let open = service.call(Request::new(())).now_or_never().unwrap().unwrap();
    assert_eq!(streams.count("a"), 1);
    drop(open);
    assert_nothing_counts(&streams);

    let request = Requester::EventSource.request("/");
    let (source, events) = crate::support::Source::new();
    let mut events = Some(events);
    let mut service = layer.layer(service_fn(move |request: Request<()>| {
        add(&request, &["a"]);
        ready(Ok::<_, Infallible>(events.take().expect("one request")))
    }));
    let mut body = service.call(request).now_or_never().unwrap().unwrap().into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(now(streams.close("a")), 1);
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(source.is_dropped());
}
