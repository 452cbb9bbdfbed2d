//! Several layers around one response. The innermost layer that opens a stream owns the stream.

use tower_sse::{ClientKind, streams};

use super::refusal::{assert_come_back, assert_unavailable};
use super::streams::rig::{add, layer, now};
use crate::*;

fn outer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(SECOND).comment("outer"))
        .retry(Retry::fixed(SECOND))
        .padding(9)
        .terminator(Event::from("outer end"))
        .on_error(|_| Event::from("outer error"))
}

/// Options that are set between the layers come too late: the inner layer already owns the stream.
#[tokio::test(start_paused = true)]
async fn innermost_layer_owns_a_stream() {
    let inner: SseLayer = SseLayer::new()
        .heartbeat(Heartbeat::every(10 * SECOND).comment("inner"))
        .padding(4)
        .terminator(Event::from("inner end"));
    let (feed, body) = Feed::new();
    let owned = through(&inner, event_stream(body)).with_options(StreamOptions::new().padding(7));
    let response = through(&outer(), owned);
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    assert_eq!(response.headers().get_all("x-accel-buffering").iter().count(), 1);
    assert_eq!(response.headers().get_all("incremental").iter().count(), 1);
    let mut body = response.into_body();

    assert_eq!(poll_frame(&mut body), data(":  \n"));
    idle(&mut body, 9 * SECOND).await;
    idle(&mut body, 2 * SECOND).await;
    assert_polls(&mut body, [data(": inner\n"), Polled::Pending]);
    feed.data("data: one\n\n");
    feed.end();
    assert_polls(&mut body, [data("data: one\n\n"), data("data: inner end\n\n"), Polled::End]);
}

/// The last line is sent once, and the error is delayed once, not once per layer.
#[tokio::test(start_paused = true)]
async fn error_passes_through_the_outer_layer() {
    let (feed, body) = Feed::new();
    let mut body = through(&outer(), through(&SseLayer::new(), event_stream(body))).into_body();
    feed.fail(io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), data(": \n"));
    idle(&mut body, Duration::from_millis(21)).await;
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}

#[tokio::test]
async fn last_event_id_that_the_outer_layer_found_is_kept() {
    let outer: SseLayer = SseLayer::new().last_event_id_query("lastEventId");
    let request = Request::get("/?lastEventId=7").body(()).unwrap();
    let response = answer_by(request, &outer, |request| {
        answer_by(request, &SseLayer::new(), |request| {
            let last = request.extensions().get::<LastEventId>().expect("a last event id");
            stream::iter([Event::from(last.to_string())])
        })
    });
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 7\n\n");
}

#[tokio::test(start_paused = true)]
async fn long_poll_query_of_the_outer_layer_works() {
    let outer: SseLayer = SseLayer::new().long_poll_query("poll");
    let request = Request::get("/?poll=5").body(()).unwrap();
    let response = answer_by(request, &outer, |request| {
        answer_by(request, &SseLayer::new(), |_| {
            stream::iter([Event::from("one")]).chain(stream::pending())
        })
    });
    let body = tokio::time::timeout(6 * SECOND, response.into_body().collect()).await;
    assert_eq!(body.expect("an end").unwrap().to_bytes(), "data: one\n\n");
}

#[test]
fn client_kind_of_the_outer_layer_counts() {
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let inner = SseLayer::new().shutdown(shutdown);
    for kind in [ClientKind::Library, ClientKind::Other] {
        let outer: SseLayer = SseLayer::new().client_kind(kind);
        let response = answer_by(Request::new(()), &outer, |request| {
            answer_by(request, &inner, |_| stream::pending::<Event>())
        });
        assert_eq!(response.status() == StatusCode::OK, kind == ClientKind::Library);
    }
}

#[test]
fn outer_layer_passes_the_refusal_of_an_inner_one() {
    for request in [event_source, || Request::new(())] {
        let stats = Stats::new();
        let outer = outer().stats(&stats).max_streams(1).refusal(Refusal::unavailable());
        for outer in [outer.clone(), outer.clone().track_disconnects(true)] {
            let (inner, _kept) = full(two_seconds(Refusal::per_client()));
            let refused = || answer_to(request(), &inner, event_stream(Feed::new().1));
            let alone = refused().headers().clone();
            let response = answer_to(request(), &outer, refused());
            assert_eq!(*response.headers(), alone);
            match response.status() {
                StatusCode::OK => assert_come_back(response, "of the inner layer"),
                _ => assert_unavailable(response, "of the inner layer"),
            }
            assert_eq!((stats.snapshot().opened, stats.snapshot().refused), (0, 0));
        }
        assert!(open::<Bodies>(&outer).is_ok(), "no place was taken");
    }
}

/// A server that shuts down refuses streams, whichever layer has the token.
#[test]
fn outer_layer_that_shuts_down_refuses_streams_of_an_inner_one() {
    let (outer, _kept) =
        refusing::<Bodies>(RefusalCause::Shutdown, two_seconds(Refusal::per_client()));
    let answer = |request: fn() -> Request<()>, status| {
        let (feed, source) = Feed::new();
        let answer = event_stream(source).with_status(status);
        let answer = answer_to(request(), &SseLayer::new(), answer);
        (feed, answer_to(request(), &outer, answer))
    };
    let (feed, response) = answer(event_source, 200);
    assert_come_back(response, "of the outer layer");
    assert!(feed.is_dropped());
    assert_unavailable(answer(|| Request::new(()), 200).1, "of the outer layer");
    // Responses to HEAD requests and with other statuses pass.
    let head = || Request::head("/").body(()).unwrap();
    assert_eq!(answer(head, 200).1.status(), StatusCode::OK);
    assert_eq!(answer(event_source, 404).1.status(), StatusCode::NOT_FOUND);
}

/// The inner layer has taken the options, which set the drain, out of the response. But the outer
/// layer knows whether the drain ends streams at once.
#[tokio::test(start_paused = true)]
async fn outer_layer_in_shutdown_opens_a_stream_with_a_drain() {
    for (drain, status) in [(Drain::at_once(), 503), (Drain::spread_over(SECOND), 200)] {
        let shutdown = CancellationToken::new();
        let outer: SseLayer =
            SseLayer::new().shutdown(shutdown.clone()).refusal(Refusal::unavailable());
        let answer = answer_by(event_source(), &outer, |request| {
            shutdown.cancel();
            let options = StreamOptions::new().drain(drain.clone());
            let answer = event_stream(Feed::new().1).with_options(options);
            answer_to(request, &SseLayer::new(), answer)
        });
        assert_eq!(answer.status(), status, "{drain:?}");
    }
}

/// The graceful shutdown waits for every body, including those of a route with a layer of its own.
#[tokio::test(start_paused = true)]
async fn shutdown_of_an_outer_layer_ends_a_stream_whose_owner_has_none() {
    let shutdown = CancellationToken::new();
    let outer = SseLayer::new().without_retry().shutdown(shutdown.clone());
    let (feed, source) = Feed::new();
    let inner = SseLayer::new().without_retry().farewell(Event::from("bye"));
    let owned = answer_to(event_source(), &inner, event_stream(source));
    let passed = answer_to(event_source(), &SseLayer::new().without_retry(), owned);
    let mut body = answer_to(event_source(), &outer, passed).into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    shutdown.cancel();
    let Polled::Data(goodbye) = poll_frame(&mut body) else { panic!("no goodbye") };
    assert!(goodbye.starts_with(b"retry: ") && goodbye.ends_with(b"data: bye\n\n"));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(feed.is_dropped());
}

/// Middleware between the layers reads the body before the outer layer has seen the response.
#[tokio::test(start_paused = true)]
async fn shutdown_of_an_outer_layer_ends_a_stream_that_is_read_before() {
    let shutdown = CancellationToken::new();
    let outer = SseLayer::new().without_retry().shutdown(shutdown.clone());
    let mut body = answer_by(event_source(), &outer, |request| {
        let inner = SseLayer::new().without_retry();
        let mut response = answer_to(request, &inner, event_stream(Feed::new().1));
        assert_eq!(poll_frame(response.body_mut()), Polled::Pending);
        response
    })
    .into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    shutdown.cancel();
    assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// The service inside of the outer layer has a layer and an exit path of its own. The outer layer
/// passes the inner layer's body through, and fires the `Disconnect` when that body is over.
async fn each_layer_reports_what_it_sees<K: Kind>() {
    for (exit, reason) in [
        (ExitPath::SourceEnds, CloseReason::Ended),
        (ExitPath::SourceFails, CloseReason::Failed),
        (ExitPath::ClientLeaves, CloseReason::Disconnected),
        (ExitPath::Drained, CloseReason::Drained),
        (ExitPath::Expired, CloseReason::Expired),
    ] {
        let shutdown = CancellationToken::new();
        let mut inner = SseLayer::<K::Marker>::new().without_retry().shutdown(shutdown.clone());
        inner = inner.drain(Drain::at_once());
        if exit == ExitPath::Expired {
            inner = inner.max_age(MaxAge::new(Duration::ZERO));
        }
        let (reports, outer_reports) = (Reports::default(), Reports::default());
        let limited = SseLayer::new().without_retry().track_disconnects(true).max_streams(1);
        let outer = outer_reports.observe(limited.clone());
        let (source, events) = Source::new();
        let mut found = None;
        let response = answer_by(Requester::EventSource.request("/"), &outer, |request| {
            answer_by(request, &reports.observe(inner), |request| {
                found = request.extensions().get::<Disconnect>().cloned();
                K::answer(events)
            })
        });
        let mut body = response.into_body();
        let disconnect = found.unwrap();
        assert!(open::<Bodies>(&limited).is_ok(), "the outer layer has given no permit");
        if exit != ExitPath::Expired {
            assert_eq!(poll_frame(&mut body), Polled::Pending);
        }
        assert!(!disconnect.is_cancelled());
        match exit {
            ExitPath::SourceEnds => drop(source),
            ExitPath::SourceFails => source.fail(io::Error::other("broken")),
            ExitPath::Drained => shutdown.cancel(),
            _ => {}
        }
        if exit != ExitPath::ClientLeaves {
            while !matches!(poll_frame(&mut body), Polled::End | Polled::Failed(_)) {
                advance(Duration::from_millis(21)).await;
            }
        }
        drop(body);
        assert!(disconnect.is_cancelled(), "{exit:?}");
        assert_eq!(reports.reasons(), [reason], "{exit:?}");
        assert_eq!(outer_reports.opened(), 0, "it is not the outer layer's stream");
        assert_eq!(outer_reports.reasons(), [], "{exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inner_layer_reports_its_stream_and_the_outer_one_fires_the_disconnect() {
    for_each_kind!(each_layer_reports_what_it_sees.await);
}

/// Middleware between two layers may try again. It drops the result of the first attempt: an error,
/// or an upstream's `503` that is an event stream.
fn attempt_that_is_dropped_fires_no_disconnect<K: Kind>() {
    let (inner, mut found) = (SseLayer::<K::Marker>::new(), None);
    let outer = SseLayer::new().track_disconnects(true);
    let response = answer_by(Request::new(()), &outer, |request| {
        let fail = || ready(Err::<K::Answer, _>(io::Error::other("the first attempt")));
        let mut failing = inner.layer(service_fn(|_: Request<()>| fail()));
        assert!(failing.call(request.clone()).now_or_never().unwrap().is_err());
        let unavailable = tower_sse::response(Source::new().1).with_status(503);
        drop(answer_to(request.clone(), &SseLayer::new(), unavailable));
        let disconnect = request.extensions().get::<Disconnect>().unwrap().clone();
        assert!(!disconnect.is_cancelled());
        found = Some(disconnect);
        answer_to(request, &inner, K::answer(Source::new().1))
    });
    let disconnect = found.unwrap();
    assert!(!disconnect.is_cancelled(), "nor while its stream is open");
    drop(response);
    assert!(disconnect.is_cancelled());
}

#[test]
fn retried_attempt_does_not_end_the_response() {
    for_each_kind!(attempt_that_is_dropped_fires_no_disconnect);
}

#[tokio::test]
async fn stream_after_a_dropped_attempt_takes_a_place() {
    let streams = streams::Streams::builder().limit("a", 1).build();
    let layer = layer(&streams);
    let open = || {
        answer_by(Requester::Post.request("/"), &layer, |request| {
            let answer = |status| {
                answer_by(request.clone(), &layer, |request| {
                    add(&request, &["a"]);
                    event_stream(Feed::new().1).with_status(status)
                })
            };
            drop(answer(503));
            answer(200)
        })
    };
    let first = open();
    assert_eq!([first.status(), open().status()], [200, 429]);
}

/// The `Streams` of the inner layer replace those of the outer one.
#[tokio::test(start_paused = true)]
async fn stream_counts_once_in_the_innermost_streams() {
    let (streams, others) = (streams::Streams::new(), streams::Streams::new());
    let (with, without): (SseLayer, SseLayer) = (layer(&streams), SseLayer::new().without_retry());
    for (outer, inner) in
        [(&with, &with), (&with, &without), (&without, &with), (&layer(&others), &with)]
    {
        let open = || {
            let (feed, source) = Feed::new();
            let answer = answer_by(Requester::EventSource.request("/"), outer, |request| {
                answer_by(request, inner, |request| {
                    add(&request, &["a"]);
                    event_stream(source)
                })
            });
            (feed, answer.into_body())
        };
        let (_feed, mut body) = open();
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        assert_eq!((streams.count("a"), others.count("a")), (1, 0));
        assert_eq!(now(streams.close("a")), 1);
        assert_eq!(poll_frame(&mut body), Polled::End);
        let (_feed, body) = open();
        drop(body);
        assert_eq!(streams.subjects(), []);
    }
}
