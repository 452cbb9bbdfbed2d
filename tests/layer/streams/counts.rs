//! No response leaves a count behind, whatever becomes of it.

use tower_sse::streams::Streams;

use super::rig::{add, layer, now};
use crate::*;

fn assert_nothing_counts(streams: &Streams) {
    assert_eq!(streams.subjects(), []);
    assert_eq!(now(streams.close("a")), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_stream_leave_no_count() {
    let (streams, shutdown) = (Streams::new(), CancellationToken::new());
    shutdown.cancel();
    let stream = |status| event_stream(Feed::new().1).with_status(status);
    for (layer, method, accept, answer, status) in [
        (SseLayer::new(), Method::GET, "*/*", Response::new(Feed::new().1), 200),
        (SseLayer::new(), Method::HEAD, "*/*", stream(200), 200),
        (SseLayer::new(), Method::GET, "*/*", stream(304), 304),
        (SseLayer::new().shutdown(shutdown), Method::GET, "*/*", stream(200), 503),
        (SseLayer::new().require_accept(true), Method::GET, "text/html", stream(200), 406),
    ] {
        let _case = case(format!("{method}, status {status}"));
        let request = Request::builder().method(method).header("accept", accept);
        let mut request = request.body(()).unwrap();
        streams.subjects_of(&mut request).add("a");
        let response = answer_to(request, &layer.streams(&streams), answer);
        assert_eq!(response.status(), status);
        assert_nothing_counts(&streams);
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn handler_that_panics_or_is_dropped_leaves_no_count() {
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
        std::future::pending::<Result<Response<FedBody>, Infallible>>().await
    }));
    assert!(waits.call(Request::new(())).now_or_never().is_none());
    assert_nothing_counts(&streams);
}

/// Tickets of failed log-ins own nothing.
#[test]
fn storm_of_failed_log_ins_leaves_nothing() {
    let streams = Streams::new();
    let counted = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            let mut request = Request::new(());
            streams.subjects_of(&mut request).add("a");
        }
    });
    assert_eq!(counted.bytes_current, 0);
}

#[tokio::test(start_paused = true)]
async fn bare_stream_can_be_closed() {
    let streams = Streams::new();
    let layer = SseLayer::<marker::Events>::new().streams(&streams);
    let (source, events) = Source::new();
    let answer = answer_by(Requester::EventSource.request("/"), &layer, |request| {
        add(&request, &["a"]);
        events
    });
    let mut body = answer.into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(now(streams.close("a")), 1);
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(source.is_dropped());
    assert_nothing_counts(&streams);
}
