use axum::{body::Body, response::Response};
use tokio::sync::mpsc;
use tower_sse::MissingLayer;

use crate::*;

/// Passes `answer` through a service inside `layer`. Returns the response and the `Disconnect` that
/// the service found in its request.
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
fn disconnect_exists_for_bare_streams_and_where_tracking_is_on() {
    fn found<K: Kind>(layer: &SseLayer<K::Marker>) -> bool {
        answer_and_disconnect(layer, K::answer(Source::new().1)).1.is_some()
    }

    for tracked in [false, true] {
        assert_eq!(found::<Bodies>(&SseLayer::new().track_disconnects(tracked)), tracked);
        assert_eq!(found::<Responses>(&SseLayer::new().track_disconnects(tracked)), tracked);
        assert!(found::<Streams>(&SseLayer::new().track_disconnects(tracked)));
    }
    assert!(!found::<Bodies>(&SseLayer::new()));
    let undone = SseLayer::new().track_disconnects(true).track_disconnects(false);
    assert!(!found::<Responses>(&undone));
}

#[tokio::test]
async fn disconnect_does_not_fire_while_the_stream_is_open() {
    let (source, events) = Source::new();
    let (response, disconnect) = answer_and_disconnect(&SseLayer::new(), events);
    let (mut body, disconnect) = (response.into_body(), disconnect.unwrap());
    for _ in 0..3 {
        source.send("one");
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        assert_eq!((disconnect.is_cancelled(), disconnect.reason()), (false, None));
        assert!(disconnect.cancelled().now_or_never().is_none());
    }
    drop(body);
    assert_eq!(disconnect.reason(), Some(CloseReason::Disconnected));
}

/// A stream reports its own end; the server may keep the body.
#[tokio::test]
async fn disconnect_fires_at_the_end_and_not_when_the_body_is_dropped() {
    let (source, events) = Source::new();
    let (response, disconnect) = answer_and_disconnect(&SseLayer::new(), events);
    let (mut body, disconnect) = (response.into_body(), disconnect.unwrap());
    drop(source);
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert_eq!(disconnect.reason(), Some(CloseReason::Ended));
    drop(body);
    assert_eq!(disconnect.reason(), Some(CloseReason::Ended), "the first reason counts");
}

#[test]
fn token_of_a_disconnect_is_a_child() {
    let (response, disconnect) = answer_and_disconnect(&SseLayer::new(), Source::new().1);
    let disconnect = disconnect.unwrap();
    let (token, other) = (disconnect.token(), disconnect.token());
    token.cancel();
    assert!(!disconnect.is_cancelled() && !other.is_cancelled());
    assert_eq!(disconnect.reason(), None);
    drop(response);
    assert!(disconnect.is_cancelled() && other.is_cancelled());
}

/// The layer that has caught the panic drops the future later, when the thread no longer unwinds.
#[tokio::test]
async fn service_panic_caught_by_an_outer_layer_is_reported() {
    async fn reasons<K: Kind<Answer: Send> + 'static>() -> (Option<CloseReason>, Vec<CloseReason>) {
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
        (disconnect.unwrap().reason(), reports.reasons())
    }

    let panicked = CloseReason::Panicked;
    assert_eq!(reasons::<Bodies>().await, (Some(panicked), vec![]));
    assert_eq!(reasons::<Responses>().await, (Some(panicked), vec![]));
    assert_eq!(reasons::<Streams>().await, (Some(panicked), vec![panicked]));
}

/// The refusal is the whole response.
#[test]
fn refused_stream_is_over_at_once() {
    let layer: SseLayer = SseLayer::new().max_streams(1).track_disconnects(true);
    let first = answer_and_disconnect(&layer, tower_sse::response(Source::new().1));
    let second = answer_and_disconnect(&layer, tower_sse::response(Source::new().1));
    assert_eq!(second.0.status(), 503);
    assert_eq!(second.1.unwrap().reason(), Some(CloseReason::Ended));
    assert_eq!(first.1.unwrap().reason(), None);
}

// `Disconnect` as an extractor, feature `axum`.

fn tracking() -> SseLayer {
    SseLayer::new().track_disconnects(true)
}

async fn call(app: &Router, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

/// The axum app of the documentation: a task makes the events, and stops once no client reads them.
#[tokio::test]
async fn spawned_task_ends_with_its_response() {
    let (stopped, reason) = oneshot::channel();
    let stopped = Mutex::new(Some(stopped));
    let handler = move |disconnect: Disconnect| {
        let (source, events) = Source::new();
        let stopped = stopped.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            source.send("one");
            disconnect.cancelled().await;
            drop(source);
            stopped.send(disconnect.reason()).unwrap();
        });
        async { tower_sse::response(events) }
    };
    let handler = std::sync::Arc::new(handler);
    let handler = move |disconnect: Disconnect| handler(disconnect);
    let app: Router = Router::new().route("/", get(handler)).layer(tracking());
    let mut body = call(&app, "/").await.into_body();
    let frame = soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: one\n\n");
    drop(body);
    let reason = soon(reason).await.unwrap();
    assert_eq!(reason, Some(CloseReason::Disconnected));
}

#[tokio::test]
async fn without_tracking_the_answer_is_a_500_that_names_the_method() {
    for layer in [None, Some(SseLayer::new()), Some(tracking().track_disconnects(false))] {
        let handler = async |_: Disconnect| -> &'static str { panic!("there is none") };
        let app = Router::new().route("/", get(handler));
        let app = match layer {
            Some(layer) => app.layer(layer),
            None => app,
        };
        let response = call(&app, "/").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.contains("SseLayer::track_disconnects(true)"), "{body}");
    }
}

#[tokio::test]
async fn handler_can_ask_for_the_rejection_or_for_an_option() {
    async fn handler(
        optional: Option<Disconnect>,
        result: Result<Disconnect, MissingLayer>,
    ) -> String {
        let rejection = result.map(drop).map_err(|missing| missing.to_string());
        format!("{} {}", optional.is_some(), rejection.err().unwrap_or_default())
    }

    let app: Router = Router::new().route("/", get(handler));
    for (app, expected) in
        [(app.clone().layer(tracking()), "true "), (app, "false no `Disconnect`")]
    {
        let body = call(&app, "/").await.into_body().collect().await.unwrap().to_bytes();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.starts_with(expected), "{body}");
    }
}

/// In a handler a closure can know the user of the stream.
#[tokio::test]
async fn handlers_on_close_is_called_after_the_layers() {
    let reports = Reports::default();
    let (closed, mut names) = mpsc::unbounded_channel();
    let by_layer = closed.clone();
    let layer: SseLayer = reports.observe(SseLayer::new()).on_close(move |_| {
        by_layer.send("layer".to_owned()).unwrap();
    });
    let handler = move |path: axum::extract::Path<String>| async move {
        let (source, events) = Source::new();
        source.send("one");
        let options = StreamOptions::new().on_close(move |report| {
            closed.send(format!("{} {} {}", path.0, report.reason, report.bytes)).unwrap();
        });
        (options, tower_sse::response(events))
    };
    let app: Router = Router::new().route("/{name}", get(handler)).layer(layer);
    let mut bodies = Vec::new();
    for name in ["ada", "grace"] {
        bodies.push(call(&app, &format!("/{name}")).await.into_body());
    }
    assert_eq!(poll_frame(&mut bodies[1]), data("data: one\n\n"));
    drop(bodies);
    for expected in ["layer", "ada disconnected 0", "layer", "grace disconnected 11"] {
        assert_eq!(names.try_recv().unwrap(), expected);
    }
    assert!(names.try_recv().is_err());
    assert_eq!(reports.closed().len(), 2);
}
