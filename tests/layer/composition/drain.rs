//! What surrounding layers observe of streams that end because the server shuts down.

use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use http::StatusCode;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;
use tower_http::metrics::InFlightRequestsLayer;
use tower_sse::{Drain, Event, Retry, SseLayer};

use super::{
    application::{Place, call, get_request, open},
    trace::{Counts, http_trace, trace},
};
use crate::support::*;

type Headers = [(&'static str, &'static str); 2];

/// The headers that page code sends when it reads a stream by `fetch`.
const FETCH: Headers = [("accept", "text/event-stream"), ("sec-fetch-mode", "cors")];
const EVENT_SOURCE: Headers = [("accept", "text/event-stream"), ("cache-control", "no-cache")];

const CUT_SHORT: &str = "the event stream was cut short: drained";

fn sse(shutdown: &CancellationToken) -> SseLayer {
    let drain = Drain::per_client().retry(Retry::fixed(Duration::from_secs(1)));
    SseLayer::new().shutdown(shutdown.clone()).drain(drain).farewell(Event::from("bye"))
}

/// Opens a stream, shuts down, and returns how the stream ends.
async fn drain(app: (Router, Sources), shutdown: &CancellationToken, headers: &Headers) -> Polled {
    let (mut body, source) = open(app, headers).await;
    source.send("one");
    assert_polls(&mut body, [data("data: one\n\n"), Polled::Pending]);
    shutdown.cancel();
    assert_eq!(poll_frame(&mut body), data("retry: 1000\ndata: bye\n\n"));
    source.dropped().await;
    let mut end = poll_frame(&mut body);
    if end == Polled::Pending {
        advance(Duration::from_millis(21)).await;
        end = poll_frame(&mut body);
    }
    drop(body);
    end
}

/// To an inner layer the stream is dropped midway, as when a client leaves. A `fetch` client
/// reconnects only after a failure, which an outer classifier that inspects bodies sees. HTTP's
/// classifier has decided by the head.
#[tokio::test(start_paused = true)]
async fn a_drained_stream_is_a_failure_only_to_the_grpc_classifier_and_if_the_body_fails() {
    let failed = Polled::Failed(CUT_SHORT.to_owned());
    for (place, headers, end, seen) in [
        (Place::Outside, EVENT_SOURCE, Polled::End, [2, 1, 0]),
        (Place::Inside, EVENT_SOURCE, Polled::End, [1, 0, 0]),
        (Place::Outside, FETCH, failed.clone(), [2, 0, 1]),
        (Place::Inside, FETCH, failed, [1, 0, 0]),
    ] {
        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let app = place.compose(sse(&shutdown), trace(&counts));
        assert_eq!(drain(app, &shutdown, &headers).await, end);
        assert_eq!(counts.get(), seen, "{place:?}, {headers:?}");

        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let app = place.compose(sse(&shutdown), http_trace(&counts));
        assert_eq!(drain(app, &shutdown, &headers).await, end);
        let [chunks, _, failures] = counts.get();
        assert_eq!((chunks, failures), (seen[0], 0), "{place:?}, {headers:?}");
    }
}

/// A `503` is a failure to every classifier; an `EventSource` is refused by a `200`.
#[tokio::test]
async fn a_refusal_is_a_failure_to_an_outer_trace_only_if_it_is_a_503() {
    for (place, headers, status, failures) in [
        (Place::Outside, FETCH, StatusCode::SERVICE_UNAVAILABLE, 1),
        (Place::Inside, FETCH, StatusCode::SERVICE_UNAVAILABLE, 0),
        (Place::Outside, EVENT_SOURCE, StatusCode::OK, 0),
        (Place::Inside, EVENT_SOURCE, StatusCode::OK, 0),
    ] {
        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let (app, mut sources) = place.compose(sse(&shutdown), http_trace(&counts));
        shutdown.cancel();
        let response = call(&app, get_request("/events", &headers)).await;
        assert_eq!(response.status(), status);
        sources.next().await.dropped().await;
        drop(response);
        assert_eq!(counts.get()[2], failures, "{place:?}, {headers:?}");
    }
}

/// This holds for every classifier, whenever the client leaves.
#[tokio::test]
async fn a_client_that_leaves_is_no_failure_to_trace_before_the_head_and_after_it() {
    for place in Place::BOTH {
        let counts = Counts::default();
        let layer = || SseLayer::new().track_disconnects(true).max_streams(1);
        for (app, mut sources) in
            [place.compose(layer(), trace(&counts)), place.compose(layer(), http_trace(&counts))]
        {
            assert!(call(&app, get_request("/never", &FETCH)).now_or_never().is_none());
            for polls in 0..2 {
                let response = call(&app, get_request("/events", &FETCH)).await;
                assert_eq!(response.status(), StatusCode::OK, "the place is free");
                let (mut body, source) = (response.into_body(), sources.next().await);
                source.send("one");
                for _ in 0..polls {
                    assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
                }
                drop(body);
                source.dropped().await;
            }
        }
        let [chunks, _, failures] = counts.get();
        assert_eq!((chunks, failures), (2, 0), "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_layer_counts_a_request_until_the_end_is_decided() {
    for headers in [EVENT_SOURCE, FETCH] {
        let shutdown = CancellationToken::new();
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let app = Place::Inside.compose(sse(&shutdown), layer);
        let (mut body, _source) = open(app, &headers).await;
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        assert_eq!(in_flight.get(), 1);
        shutdown.cancel();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(in_flight.get(), 0, "while the client still receives its farewell");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outer_layer_counts_a_request_until_the_last_byte_is_sent() {
    for headers in [EVENT_SOURCE, FETCH] {
        let shutdown = CancellationToken::new();
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let (app, mut sources) = Place::Outside.compose(sse(&shutdown), layer);
        let mut body = call(&app, get_request("/events", &headers)).await.into_body();
        let _source = sources.next().await;
        shutdown.cancel();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(in_flight.get(), 1);
        advance(Duration::from_millis(21)).await;
        while poll_frame(&mut body) == Polled::Pending {
            advance(Duration::from_millis(21)).await;
        }
        drop(body);
        assert_eq!(in_flight.get(), 0);

        let refused = call(&app, get_request("/events", &headers)).await;
        assert_eq!(in_flight.get(), 1, "a refusal is a response like any other");
        drop(refused);
        assert_eq!(in_flight.get(), 0);
    }
}
