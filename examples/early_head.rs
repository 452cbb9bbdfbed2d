//! cargo run --example early_head --features early-head,json,signal
//!
//! curl -N http://127.0.0.1:3000/summary -H 'accept: text/event-stream'
//! curl -N http://127.0.0.1:3000/v1/chat/completions --json '{"model": "slow", "stream": true}'
//!
//! A gateway to a model that needs 70 seconds for its first word, behind a proxy that waits for 60.
//! After 10 seconds, clients get the head of an event stream, and then heartbeats until the model
//! answers. The model `busy` answers 429 after 70 seconds. It's too late to send this status: the
//! gateway sends an event instead, which OpenAI's clients raise as an error.
//!
//! Set `PORT` to use another port. `HEAD_AFTER` and `MODEL_TAKES` set the two times, in seconds.

use std::{env, io, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::early_head::{EarlyHeadLayer, openai_error};
use tower_sse::{Event, SseLayer};

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let early = EarlyHeadLayer::new(seconds("HEAD_AFTER", 10.0)).late_event(openai_error);
    let app = Router::new()
        .route("/summary", get(async || model(&json!({ "stream": true })).await))
        .layer(early.clone()) // for each `GET` of an event stream above
        .route("/v1/chat/completions", post(complete))
        .with_state(early)
        .layer(SseLayer::new().shutdown(shutdown.clone()));
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

/// Only the body says whether the client expects a stream.
async fn complete(State(early): State<EarlyHeadLayer>, Json(request): Json<Value>) -> Response {
    if request["stream"] != true {
        return model(&request).await;
    }
    early.answer(async move { model(&request).await }).await.into_response()
}

/// A stand-in for the model's API.
async fn model(request: &Value) -> Response {
    sleep(seconds("MODEL_TAKES", 70.0)).await;
    if request["model"] == "busy" {
        let error = json!({ "message": "try again later", "type": "rate_limit_error" });
        return (StatusCode::TOO_MANY_REQUESTS, Json(json!({ "error": error }))).into_response();
    }
    let (object, text) = match request["stream"] == true {
        true => ("chat.completion.chunk", "delta"),
        false => ("chat.completion", "message"),
    };
    let answer = |word| {
        let choice = json!({ "index": 0, text: { "role": "assistant", "content": word } });
        json!({ "id": "1", "object": object, "created": 1, "model": "slow", "choices": [choice] })
    };
    if request["stream"] != true {
        return Json(answer("Good morning")).into_response();
    }
    let words = ["Good ", "morning"].map(|word| Event::from(answer(word).to_string()));
    let events = words.into_iter().chain([Event::from("[DONE]")]);
    tower_sse::response(stream::iter(events)).into_response()
}

fn seconds(variable: &str, default: f64) -> Duration {
    let seconds = env::var(variable).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(default))
}
