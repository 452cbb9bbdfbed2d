use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::HeaderMap;
use hyper::body::Incoming;
use tower_http::{
    classify::{GrpcErrorsAsFailures, ServerErrorsAsFailures, SharedClassifier},
    trace::{
        DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, OnBodyChunk, OnEos, OnFailure,
        TraceLayer,
    },
};
use tracing::Span;

use super::application::{Place, assert_streams, open_served};
use crate::*;

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
async fn open(place: Place, headers: &[(&str, &str)]) -> (Counts, Response<Incoming>, Source) {
    let counts = Counts::default();
    let app = place.compose(SseLayer::new(), trace(&counts));
    let (response, source) = open_served(app, headers).await;
    (counts, response, source)
}

#[tokio::test]
async fn trace_observes_every_chunk_and_a_clean_end() {
    for place in Place::BOTH {
        let (counts, response, source) = open(place, &[]).await;
        assert_streams(response, source).await;
        assert_eq!(counts.get(), [2, 1, 0], "{place:?}");
    }
}

/// A cancellation ends the stream of an `EventSource` cleanly and fails the body of every other client.
#[tokio::test]
async fn cancelled_source_is_a_failure_to_trace_only_if_the_body_fails() {
    let event_source = [("accept", "text/event-stream"), ("cache-control", "no-cache")];
    for (headers, expected) in [(&event_source[..], [0, 1, 0]), (&[], [1, 0, 1])] {
        let (counts, response, source) = open(Place::Outside, headers).await;
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
        let (counts, response, source) = open(place, &[]).await;
        source.fail(io::Error::other("disk full"));
        response.into_body().collect().await.expect_err("the body fails");
        assert_eq!(counts.get(), [chunks, 0, 1], "{place:?}");
    }
}
