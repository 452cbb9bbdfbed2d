use std::task::Wake;

use axum::response::Response;

use crate::*;

pub(crate) fn answer_and_disconnect<M, R: IntoSse<M>>(
    layer: &SseLayer<M>,
    answer: R,
) -> (Response<SseBody<R::Body>>, Option<Disconnect>) {
    respond(layer, Request::new(()), answer)
}

pub(crate) fn respond<M, R: IntoSse<M>>(
    layer: &SseLayer<M>,
    request: Request<()>,
    answer: R,
) -> (Response<SseBody<R::Body>>, Option<Disconnect>) {
    let mut disconnect = None;
    let response = answer_by(request, layer, |request| {
        disconnect = request.extensions().get::<Disconnect>().cloned();
        answer
    });
    (response, disconnect)
}

#[test]
fn waker_that_panics_keeps_no_other_task_from_the_disconnect() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("asked for");
        }
    }

    let layer = SseLayer::new().track_disconnects(true);
    let answer = tower_sse::response(stream::pending::<Event>());
    let (answer, disconnect) = answer_and_disconnect(&layer, answer);
    let disconnect = disconnect.unwrap();
    let (panics, (count, counts)) = (Waker::from(Arc::new(Panics)), Wakes::new());
    let mut waiting = [0; 2].map(|_| Box::pin(disconnect.cancelled()));
    for (cancelled, waker) in waiting.iter_mut().zip([panics, counts]) {
        assert!(cancelled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(answer);
    assert!(disconnect.is_cancelled());
    assert_eq!(count.get(), 1, "the task behind the one whose waker panics");
}

#[test]
fn disconnect_exists_for_bare_streams_and_where_tracking_is_on() {
    fn found<K: Kind>(layer: &SseLayer<K::Marker>) -> bool {
        answer_and_disconnect(layer, K::answer(Source::new().1)).1.is_some()
    }

    for tracked in [false, true] {
        assert_eq!(found::<Bodies>(&SseLayer::new().track_disconnects(tracked)), tracked);
        assert_eq!(found::<Responses>(&SseLayer::new().track_disconnects(tracked)), tracked);
        assert!(found::<Streams>(&SseLayer::new().track_disconnects(tracked)));
    }
    let undone = SseLayer::new().track_disconnects(true).track_disconnects(false);
    assert!(!found::<Responses>(&undone));
}

#[test]
fn body_whose_drop_fires_a_disconnect_keeps_its_size() {
    let layer: SseLayer = SseLayer::new().track_disconnects(true);
    let (response, disconnect) = answer_and_disconnect(&layer, Response::new(Full::from("all")));
    assert_eq!(response.body().size_hint().exact(), Some(3));
    drop(response);
    assert!(disconnect.unwrap().is_cancelled());
}

/// The `Disconnect` doesn't wait until the body is dropped, because a server may keep the body.
#[tokio::test]
async fn disconnect_fires_once_at_the_end_of_its_stream() {
    let (source, events) = Source::new();
    let (response, disconnect) = answer_and_disconnect(&SseLayer::new(), events);
    let (mut body, disconnect) = (response.into_body(), disconnect.unwrap());
    source.send("one");
    assert_polls(&mut body, [data("data: one\n\n"), Polled::Pending]);
    assert!(!disconnect.is_cancelled());
    assert!(disconnect.cancelled().now_or_never().is_none());
    drop(source);
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(disconnect.is_cancelled());
}

#[test]
fn token_of_a_disconnect_is_a_child() {
    let (response, disconnect) = answer_and_disconnect(&SseLayer::new(), Source::new().1);
    let disconnect = disconnect.unwrap();
    let (token, other) = (disconnect.token(), disconnect.token());
    token.cancel();
    assert!(!disconnect.is_cancelled() && !other.is_cancelled());
    assert!(!disconnect.is_cancelled());
    drop(response);
    assert!(disconnect.is_cancelled() && other.is_cancelled());
}

/// The outer layer drops the future after it has caught the panic: the thread no longer unwinds.
#[tokio::test]
async fn service_panic_caught_by_an_outer_layer_is_reported() {
    async fn reasons<K: Kind<Answer: Send> + 'static>() -> Vec<CloseReason> {
        let reports = Reports::default();
        let layer = reports.observe(SseLayer::<K::Marker>::new().track_disconnects(true));
        let mut disconnect = None;
        let service = service_fn(|request: Request<()>| {
            disconnect = request.extensions().get::<Disconnect>().cloned();
            let answer: Result<K::Answer, Infallible> = Ok(K::answer(Source::new().1));
            async move {
                assert!(answer.is_err(), "in the service");
                answer
            }
        });
        let service = CatchPanicLayer::new().layer(layer.layer(service));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 500);
        drop(response);
        assert!(disconnect.unwrap().is_cancelled());
        reports.reasons()
    }

    assert_eq!(reasons::<Bodies>().await, []);
    assert_eq!(reasons::<Responses>().await, []);
    assert_eq!(reasons::<Streams>().await, [CloseReason::Panicked]);
}

#[test]
fn refused_stream_is_over_at_once() {
    let layer: SseLayer = SseLayer::new().max_streams(1).track_disconnects(true);
    let first = answer_and_disconnect(&layer, tower_sse::response(Source::new().1));
    let second = answer_and_disconnect(&layer, tower_sse::response(Source::new().1));
    assert_eq!(second.0.status(), 503);
    assert!(second.1.unwrap().is_cancelled());
    assert!(!first.1.unwrap().is_cancelled());
}
