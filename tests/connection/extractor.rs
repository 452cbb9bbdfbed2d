//! `Disconnect` as an extractor, feature `axum`.

use axum::{body::Body, response::Response};
use tokio::sync::mpsc;

use crate::*;

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
        result: Result<Disconnect, (StatusCode, &'static str)>,
    ) -> String {
        let rejection = result.err().map(|(_, text)| text);
        format!("{} {}", optional.is_some(), rejection.unwrap_or_default())
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
