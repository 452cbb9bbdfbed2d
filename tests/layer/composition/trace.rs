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
/// classifier decides by the head and never treats the end of a body as a failure.
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

/// A cancellation ends the stream of an `EventSource` cleanly, and fails the body of every other
/// client.
#[tokio::test(start_paused = true)]
async fn trace_observes_every_chunk_and_how_the_body_ends() {
    for (place, client, end, expected) in [
        (Place::Outside, Get, "ends", [1, 1, 0]),
        (Place::Inside, Get, "ends", [1, 1, 0]),
        // To an outer layer, the last line that `SseLayer` sends before the failure is a chunk.
        (Place::Outside, Get, "fails", [2, 0, 1]),
        (Place::Inside, Get, "fails", [1, 0, 1]),
        (Place::Outside, Get, "is cancelled", [2, 0, 1]),
        (Place::Outside, EventSource, "is cancelled", [1, 1, 0]),
    ] {
        let counts = Counts::default();
        let app = place.compose(SseLayer::new().without_retry(), trace(&counts));
        let (body, source) = open(app, client).await;
        source.send("one");
        match end {
            "ends" => drop(source),
            "fails" => source.fail(io::Error::other("disk full")),
            _ => source.fail(io::Error::other(cancelled_task().await)),
        }
        read_bytes(body).await;
        assert_eq!(counts.get(), expected, "{place:?}, {client:?}: it {end}");
    }
}

// What trace layers observe of streams that end because the server shuts down.

const CUT_SHORT: &str = "the event stream was cut short: drained";

fn sse(shutdown: &CancellationToken) -> SseLayer {
    let drain = Drain::per_client().retry(Retry::fixed(SECOND));
    SseLayer::new()
        .without_retry()
        .shutdown(shutdown.clone())
        .drain(drain)
        .farewell(Event::from("bye"))
}

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
/// classifier decides by the head.
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

/// An `EventSource` is refused with a `200`.
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
