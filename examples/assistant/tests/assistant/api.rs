use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{iter, sync::Arc};

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};
use tower_sse::{Event, SseLayer};

use crate::Example;

/// The number of bytes of events that a run keeps by default.
const RETAINED: usize = 2 << 20;

/// A server of chat completions that accepts one API key.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) calls: Arc<AtomicUsize>,
    /// The answer to a question that begins with `think` waits for a permit.
    pub(crate) permits: Arc<Semaphore>,
}

impl Api {
    async fn complete(self, headers: HeaderMap, Json(request): Json<Value>) -> Response {
        let call = self.calls.fetch_add(1, Relaxed);
        assert_eq!(request["stream"], true);
        let question = request["messages"][0]["content"].as_str().unwrap();
        if question.starts_with("think") {
            self.permits.acquire().await.unwrap().forget();
        }
        if headers["authorization"] != "Bearer secret" {
            return StatusCode::UNAUTHORIZED.into_response();
        } else if question.ends_with("busy") && call == 0 {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
        let delta = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
        let content = |text: &str| delta(json!({ "content": text }));
        let model = request["model"].as_str().unwrap();
        let chunks = [
            delta(json!({ "role": "assistant", "content": "" })),
            content(model),
            content(" says:\n\n"),
            content("ö"),
            delta(json!({})),
            json!({ "choices": [], "usage": {} }),
        ];
        let quarter = content(&"x".repeat(RETAINED / 4));
        let rest = iter::repeat_n(quarter, if question == "long" { 5 } else { 0 });
        let failure = (question == "fail").then(|| json!({ "error": { "message": "overloaded" } }));
        let chunks = chunks.into_iter().chain(rest).chain(failure);
        let chunks = chunks.map(|chunk| Event::from(chunk.to_string()));
        let done = (question != "cut").then(|| Event::from("[DONE]"));
        let events = stream::iter(chunks.chain(done));
        tower_sse::response(events).into_response()
    }

    /// Serves, and starts the example with this key and environment.
    pub(crate) async fn start(key: &str, environment: &[(&str, &str)]) -> (Self, Example) {
        let api = Self { calls: Arc::default(), permits: Arc::new(Semaphore::new(0)) };
        let own = api.clone();
        let complete = post(async move |headers, request| own.complete(headers, request).await);
        let app: Router =
            Router::new().route("/v1/chat/completions", complete).layer(SseLayer::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        let own = [("OPENAI_API_KEY", key), ("OPENAI_BASE_URL", &url), ("OPENAI_MODEL", "small")];
        (api, Example::start(&[&own, environment].concat()))
    }
}
