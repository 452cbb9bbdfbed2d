//! Two layers on one response: the outer layer tracks, the inner layer owns the stream.

use std::{
    future::{Ready, ready},
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::advance;
use tokio_util::sync::CancellationToken;
use tower::{
    Layer, Service,
    retry::{Policy, RetryLayer},
    service_fn,
};
use tower_sse::{CloseReason, Disconnect, Drain, IntoSse, MaxAge, SseLayer, Stats};

use crate::support::*;

/// The inner service of the outer layer is a whole service with a layer and an exit path of its
/// own. The outer layer passes its body through, and fires the `Disconnect` when that is over.
async fn each_layer_reports_what_it_sees<K: Kind>() {
    for (exit, reason, outer_reason) in [
        (ExitPath::SourceEnds, CloseReason::Ended, CloseReason::Ended),
        (ExitPath::SourceFails, CloseReason::Failed, CloseReason::Failed),
        (ExitPath::ClientLeaves, CloseReason::Disconnected, CloseReason::Disconnected),
        (ExitPath::Drained, CloseReason::Drained, CloseReason::Ended),
        (ExitPath::Expired, CloseReason::Expired, CloseReason::Ended),
    ] {
        let shutdown = CancellationToken::new();
        let inner = SseLayer::<K::Marker>::new().shutdown(shutdown.clone());
        let inner = inner.drain(Drain::at_once().without_retry());
        let inner = match exit {
            ExitPath::Expired => inner.max_age(MaxAge::new(Duration::ZERO)),
            _ => inner,
        };
        let (reports, outer_reports) = (Reports::default(), Reports::default());
        let outer = outer_reports.observe(SseLayer::new().track_disconnects(true));
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
        if exit != ExitPath::Expired {
            assert_eq!(poll_frame(&mut body), Polled::Pending);
        }
        assert_eq!(disconnect.reason(), None);
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
        assert_eq!(disconnect.reason(), Some(outer_reason), "{exit:?}");
        assert_eq!(reports.reasons(), [reason], "{exit:?}");
        assert_eq!(outer_reports.opened(), 0, "it is not the outer layer's stream");
        assert_eq!(outer_reports.reasons(), [], "{exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_layer_reports_its_stream_and_the_outer_one_fires_the_disconnect() {
    for_each_kind!(each_layer_reports_what_it_sees.await);
}

/// If both layers track there is one `Disconnect`, that of the outer layer.
#[test]
fn a_disconnect_already_in_the_request_is_kept() {
    let tracking = || SseLayer::new().track_disconnects(true);
    let (mut between, mut found) = (None, None);
    let response = answer_by(Request::new(()), &tracking(), |request| {
        between = request.extensions().get::<Disconnect>().cloned();
        answer_by(request, &tracking(), |request| {
            found = request.extensions().get::<Disconnect>().cloned();
            tower_sse::response(Source::new().1)
        })
    });
    let (outer, inner) = (between.unwrap(), found.unwrap());
    assert!(!outer.is_cancelled() && !inner.is_cancelled());
    drop(response);
    let left = Some(CloseReason::Disconnected);
    assert_eq!((outer.reason(), inner.reason()), (left, left));
}

#[test]
fn a_stream_is_counted_by_the_layer_that_owns_it_only() {
    let (inner_stats, outer_stats) = (Stats::new(), Stats::new());
    let inner: SseLayer = SseLayer::new().stats(&inner_stats);
    let outer = SseLayer::new().stats(&outer_stats).max_streams(1);
    let bodies: Vec<_> = (0..3)
        .map(|_| through(&outer, through(&inner, event_stream(Feed::new().1))))
        .inspect(|response| assert_eq!(response.status(), 200))
        .collect();
    assert_eq!((inner_stats.snapshot().open(), outer_stats.snapshot().opened()), (3, 0));
    drop(bodies);
    assert_eq!((inner_stats.snapshot().closed(), outer_stats.snapshot().closed()), (3, 0));
}

/// A policy that retries a service once, whatever its result.
#[derive(Clone)]
struct Twice {
    left: bool,
}

impl<A, E> Policy<Request<()>, A, E> for Twice {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<()>, _: &mut Result<A, E>) -> Option<Ready<()>> {
        std::mem::take(&mut self.left).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

/// The `Disconnect` that the second attempt found in its request, and its state then.
type Seen = Arc<Mutex<Vec<(Option<CloseReason>, Disconnect)>>>;

fn note(seen: &Seen, request: &Request<()>) -> usize {
    let disconnect = request.extensions().get::<Disconnect>().unwrap().clone();
    let mut seen = seen.lock().unwrap();
    seen.push((disconnect.reason(), disconnect));
    seen.len()
}

/// Asserts that of two attempts, of which the first answers with `first`, the first is dropped and
/// the second is the stream.
async fn assert_the_second_counts<M: 'static, R: IntoSse<M>>(
    first: impl Fn() -> io::Result<R>,
    second: impl Fn() -> R,
) {
    let seen = Seen::default();
    let inner = SseLayer::<M>::new().layer(service_fn(|request: Request<()>| {
        ready(if note(&seen, &request) == 1 { first() } else { Ok(second()) })
    }));
    let retrying =
        RetryLayer::new(Twice { left: true }).layer(Cloning(Arc::new(Mutex::new(inner))));
    let mut service = SseLayer::new().track_disconnects(true).layer(retrying);
    let response = service.call(Request::new(())).await.unwrap();
    let (at_the_call, disconnect) = seen.lock().unwrap()[1].clone();
    assert_eq!(at_the_call, None, "it has not fired before the second attempt");
    assert_eq!(disconnect.reason(), None, "nor while its stream is open");
    drop(response);
    assert_eq!(disconnect.reason(), Some(CloseReason::Disconnected));
}

async fn an_error_is_tried_again<K: Kind>() {
    let error = || Err(io::Error::other("the first attempt"));
    assert_the_second_counts(error, || K::answer(Source::new().1)).await;
}

/// An upstream's `503` that is an event stream is dropped for another attempt too.
#[tokio::test]
async fn a_retried_attempt_does_not_end_the_response() {
    for_each_kind!(an_error_is_tried_again.await);
    let answer = |status| Response::builder().status(status).body(Source::new().1).unwrap();
    assert_the_second_counts(|| Ok(answer(503)), || answer(200)).await;
}

/// A service that `Retry` can clone although the closure of a test cannot be cloned.
struct Cloning<S>(Arc<Mutex<S>>);

impl<S> Clone for Cloning<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Service<Request<()>>> Service<Request<()>> for Cloning<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.lock().unwrap().poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> S::Future {
        self.0.lock().unwrap().call(request)
    }
}
