use tower_http::{
    classify::{GrpcErrorsAsFailures, ServerErrorsAsFailures, SharedClassifier},
    trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, OnBodyChunk, OnEos, OnFailure},
};
use tracing::Span;

use super::{application::open, *};
use crate::{support::Requester::*, *};

#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<[AtomicUsize; 3]>);

impl Counts {
    /// Returns the numbers of chunks, ends and failures.
    pub(crate) fn get(&self) -> [usize; 3] {
        self.0.each_ref().map(|count| count.load(SeqCst))
    }

    fn count(&self, which: usize) {
        self.0[which].fetch_add(1, SeqCst);
    }
}

impl OnBodyChunk<Bytes> for Counts {
    fn on_body_chunk(&mut self, _: &Bytes, _: Duration, _: &Span) {
        self.count(0);
    }
}

impl OnEos for Counts {
    fn on_eos(self, _: Option<&HeaderMap>, _: Duration, _: &Span) {
        self.count(1);
    }
}

impl<F> OnFailure<F> for Counts {
    fn on_failure(&mut self, _: F, _: Duration, _: &Span) {
        self.count(2);
    }
}

type CountingTraceLayer<C> = TraceLayer<
    SharedClassifier<C>,
    DefaultMakeSpan,
    DefaultOnRequest,
    DefaultOnResponse,
    Counts,
    Counts,
    Counts,
>;

/// Returns a trace layer with gRPC's classifier, which inspects a body up to its end. HTTP's
/// classifier has decided by the head and never treats the end of a body as a failure.
pub(crate) fn trace(counts: &Counts) -> CountingTraceLayer<GrpcErrorsAsFailures> {
    counting(TraceLayer::new_for_grpc(), counts)
}

pub(crate) fn http_trace(counts: &Counts) -> CountingTraceLayer<ServerErrorsAsFailures> {
    counting(TraceLayer::new_for_http(), counts)
}

fn counting<C>(layer: TraceLayer<SharedClassifier<C>>, counts: &Counts) -> CountingTraceLayer<C> {
    let layer = layer.on_body_chunk(counts.clone()).on_eos(counts.clone());
    layer.on_failure(counts.clone())
}

/// Opens a stream whose chunks, ends and failures are counted.
async fn counted(place: Place, headers: &[(&str, &str)]) -> (Counts, Response<Incoming>, Source) {
    let counts = Counts::default();
    let app = place.compose(SseLayer::new().without_retry(), trace(&counts));
    let (response, source) = open_served(app, headers).await;
    (counts, response, source)
}

#[tokio::test]
async fn trace_observes_every_chunk_and_a_clean_end() {
    for place in Place::BOTH {
        let (counts, response, source) = counted(place, &[]).await;
        assert_streams(response, source).await;
        assert_eq!(counts.get(), [2, 1, 0], "{place:?}");
    }
}

/// A cancellation ends the stream of an `EventSource` cleanly and fails the body of every other client.
#[tokio::test]
async fn cancelled_source_is_a_failure_to_trace_only_if_the_body_fails() {
    let event_source = [("accept", "text/event-stream"), ("cache-control", "no-cache")];
    for (headers, expected) in [(&event_source[..], [0, 1, 0]), (&[], [1, 0, 1])] {
        let (counts, response, source) = counted(Place::Outside, headers).await;
        source.fail(io::Error::other(cancelled_task().await));
        if expected == [0, 1, 0] {
            assert!(EventReader::new(response).rest().await.is_empty());
        } else {
            response.into_body().collect().await.expect_err("the body fails");
        }
        assert_eq!(counts.get(), expected);
    }
}

#[tokio::test]
async fn error_of_the_source_is_one_failure() {
    // To an outer layer, the last line that the layer sends before the failure is a chunk.
    for (place, chunks) in [(Place::Inside, 0), (Place::Outside, 1)] {
        let (counts, response, source) = counted(place, &[]).await;
        source.fail(io::Error::other("disk full"));
        response.into_body().collect().await.expect_err("the body fails");
        assert_eq!(counts.get(), [chunks, 0, 1], "{place:?}");
    }
}

// What surrounding layers observe of streams that end because the server shuts down.

const CUT_SHORT: &str = "the event stream was cut short: drained";

fn sse(shutdown: &CancellationToken) -> SseLayer {
    let drain = Drain::per_client().retry(Retry::fixed(SECOND));
    SseLayer::new()
        .without_retry()
        .shutdown(shutdown.clone())
        .drain(drain)
        .farewell(Event::from("bye"))
}

/// Opens a stream, shuts down, and returns how the stream ends.
async fn drain(app: (Router, Sources), shutdown: &CancellationToken, client: Requester) -> Polled {
    let (mut body, source) = open(app, client).await;
    source.send("one");
    assert_polls(&mut body, [data("data: one\n\n"), Polled::Pending]);
    shutdown.cancel();
    assert_eq!(poll_frame(&mut body), data("retry: 1000\ndata: bye\n\n"));
    source.dropped().await;
    let mut end = poll_frame(&mut body);
    if end == Polled::Pending {
        advance(21 * MILLISECOND).await;
        end = poll_frame(&mut body);
    }
    drop(body);
    end
}

/// To an inner layer the stream is dropped midway, as when a client leaves. A `fetch` client
/// reconnects only after a failure, which an outer classifier that inspects bodies sees. HTTP's
/// classifier has decided by the head.
#[tokio::test(start_paused = true)]
async fn drained_stream_fails_only_for_grpc_classifiers_or_by_its_body() {
    let failed = failed(CUT_SHORT);
    for (place, client, end, seen) in [
        (Place::Outside, EventSource, Polled::End, [2, 1, 0]),
        (Place::Inside, EventSource, Polled::End, [1, 0, 0]),
        (Place::Outside, Fetch, failed.clone(), [2, 0, 1]),
        (Place::Inside, Fetch, failed, [1, 0, 0]),
    ] {
        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let app = place.compose(sse(&shutdown), trace(&counts));
        assert_eq!(drain(app, &shutdown, client).await, end);
        assert_eq!(counts.get(), seen, "{place:?}, {client:?}");

        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let app = place.compose(sse(&shutdown), http_trace(&counts));
        assert_eq!(drain(app, &shutdown, client).await, end);
        let [chunks, _, failures] = counts.get();
        assert_eq!((chunks, failures), (seen[0], 0), "{place:?}, {client:?}");
    }
}

/// A `503` is a failure to every classifier; an `EventSource` is refused by a `200`.
#[tokio::test]
async fn only_a_503_refusal_is_a_failure_to_an_outer_trace() {
    for (place, client, status, failures) in [
        (Place::Outside, Fetch, StatusCode::SERVICE_UNAVAILABLE, 1),
        (Place::Inside, Fetch, StatusCode::SERVICE_UNAVAILABLE, 0),
        (Place::Outside, EventSource, StatusCode::OK, 0),
        (Place::Inside, EventSource, StatusCode::OK, 0),
    ] {
        let (shutdown, counts) = (CancellationToken::new(), Counts::default());
        let (app, mut sources) = place.compose(sse(&shutdown), http_trace(&counts));
        shutdown.cancel();
        let response = call(&app, client.request("/events")).await;
        assert_eq!(response.status(), status);
        sources.next().await.dropped().await;
        drop(response);
        assert_eq!(counts.get()[2], failures, "{place:?}, {client:?}");
    }
}

/// This holds for every classifier, whenever the client leaves.
#[tokio::test]
async fn client_that_leaves_at_any_time_is_no_failure_to_trace() {
    for place in Place::BOTH {
        let counts = Counts::default();
        let layer = || SseLayer::new().track_disconnects(true).max_streams(1);
        for (app, mut sources) in
            [place.compose(layer(), trace(&counts)), place.compose(layer(), http_trace(&counts))]
        {
            assert!(call(&app, Fetch.request("/never")).now_or_never().is_none());
            for polls in 0..2 {
                let response = call(&app, Fetch.request("/events")).await;
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
async fn inner_layer_counts_a_request_until_the_end_is_decided() {
    for client in [EventSource, Fetch] {
        let shutdown = CancellationToken::new();
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let app = Place::Inside.compose(sse(&shutdown), layer);
        let (mut body, _source) = open(app, client).await;
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        assert_eq!(in_flight.get(), 1);
        shutdown.cancel();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(in_flight.get(), 0, "while the client still receives its farewell");
    }
}

#[tokio::test(start_paused = true)]
async fn outer_layer_counts_a_request_until_the_last_byte_is_sent() {
    for client in [EventSource, Fetch] {
        let shutdown = CancellationToken::new();
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let (app, mut sources) = Place::Outside.compose(sse(&shutdown), layer);
        let mut body = call(&app, client.request("/events")).await.into_body();
        let _source = sources.next().await;
        shutdown.cancel();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(in_flight.get(), 1);
        advance(21 * MILLISECOND).await;
        while poll_frame(&mut body) == Polled::Pending {
            advance(21 * MILLISECOND).await;
        }
        drop(body);
        assert_eq!(in_flight.get(), 0);

        let refused = call(&app, client.request("/events")).await;
        assert_eq!(in_flight.get(), 1, "a refusal is a response like any other");
        drop(refused);
        assert_eq!(in_flight.get(), 0);
    }
}
