//! The service: a route for the protocol of each client. The answers are runs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, Sse};
use axum::routing::{get, post};
use http::Request;
use serde::Deserialize;

use super::*;

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) runs: Runs,
    calls: Arc<AtomicUsize>,
    pace: Pace,
    /// The grace that runs get at a shutdown. Streams may stay for five seconds longer.
    grace: Duration,
}

impl Service {
    pub(crate) fn new(pace: Pace, grace: Duration) -> Self {
        Self::with(Runs::new(), Arc::default(), pace, grace)
    }

    /// Creates a service that counts its calls in `calls`, which services can share.
    pub(crate) fn with(runs: Runs, calls: Arc<AtomicUsize>, pace: Pace, grace: Duration) -> Self {
        Self { runs, calls, pace, grace }
    }

    pub(crate) fn counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.calls)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn app(&self, shutdown: CancellationToken) -> Router {
        // Short times, so that every client meets comments and reconnects soon.
        let layer = SseLayer::new()
            .heartbeat(Heartbeat::every(Duration::from_millis(15)))
            .retry(Retry::fixed(Duration::from_millis(20)))
            .shutdown(shutdown);
        let layered = Router::new()
            .route("/words/{turn}", get(words).post(words))
            .route("/v1/chat/completions", post(complete))
            .route("/ag-ui", get(ag_ui).post(ag_ui))
            .layer(self.runs.layer(key));
        Router::new()
            .route("/chat", post(ask))
            .route("/chat/{chat}/stream", get(resume).delete(stop))
            .route("/threads/{thread}/runs/stream", post(start_graph))
            .route("/threads/{thread}/runs/{run}/stream", get(join_graph))
            .merge(layered)
            .layer(layer)
            .route("/", get(async || Html("<!doctype html><title>runs</title>")))
            .route("/calls", get(async |State(it): State<Self>| Json(it.calls())))
            .with_state(self.clone())
    }

    pub(crate) async fn drain(&self, grace: Duration) {
        self.runs.drain(grace).await;
    }

    /// Lets streams stay at a shutdown until their run has ended.
    fn options(&self) -> StreamOptions {
        StreamOptions::new().drain(Drain::after(self.grace + Duration::from_secs(5)))
    }
}

/// Returns the key in a header, in the query, or in the path.
fn key(request: &Request<Body>) -> Option<Result<RunKey, InvalidKey>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        run_id: String,
    }

    let named = Query::<Named>::try_from_uri(request.uri()).map(|named| named.0.run_id);
    let header = request.headers().get("x-run-id").and_then(|value| value.to_str().ok());
    let name = header.map(str::to_owned).or(named.ok());
    Some(RunKey::new("ann", name.as_deref().unwrap_or(request.uri().path())))
}

async fn words(State(service): State<Service>) -> impl IntoResponse {
    (service.options(), Sse::new(service.pace.words(service.call())))
}

async fn ag_ui(State(service): State<Service>) -> impl IntoResponse {
    (service.options(), tower_sse::response(service.pace.ag_ui(service.call())))
}

async fn complete(State(service): State<Service>) -> impl IntoResponse {
    let bytes = Body::from_stream(service.pace.completion(service.call()));
    ([(header::CONTENT_TYPE, "text/event-stream")], bytes)
}

async fn ask(State(service): State<Service>, parts: Parts, Json(body): Json<Value>) -> Response {
    let Some(Ok(key)) = body["id"].as_str().map(|chat| RunKey::new("ann", chat)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match service.runs.replace(&key, &parts, || service.pace.chat(service.call())).await {
        Ok(run) => chat_answer(run.answer(&parts).await),
        Err(error) => error.answer(&parts).into_response(),
    }
}

async fn resume(
    State(service): State<Service>,
    Path(chat): Path<String>,
    parts: Parts,
) -> Response {
    match service.runs.answer(&RunKey::new("ann", chat).unwrap(), &parts).await {
        Some(answer) => chat_answer(answer),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

fn chat_answer(answer: impl IntoResponse) -> Response {
    let version = [("x-vercel-ai-ui-message-stream", "v1")];
    (StreamOptions::new().terminator("[DONE]"), version, answer).into_response()
}

async fn stop(
    State(service): State<Service>,
    Path(chat): Path<String>,
    last: Option<LastEventId>,
) -> StatusCode {
    match service.runs.cancel(&RunKey::new("ann", chat).unwrap(), last).await {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

async fn start_graph(
    State(service): State<Service>,
    Path(thread): Path<String>,
    parts: Parts,
) -> Response {
    let call = service.call();
    let location = format!("/threads/{thread}/runs/{call}/stream");
    let key = RunKey::new("ann", &location).unwrap();
    match service.runs.start(&key, &parts, || service.pace.graph(call)).await {
        Ok(run) => ([(header::LOCATION, location)], run.answer(&parts).await).into_response(),
        Err(error) => error.answer(&parts).into_response(),
    }
}

async fn join_graph(State(service): State<Service>, parts: Parts) -> Response {
    match service.runs.answer(&RunKey::new("ann", parts.uri.path()).unwrap(), &parts).await {
        Some(answer) => answer.into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "detail": "no such run" }))).into_response(),
    }
}
