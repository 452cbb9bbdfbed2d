//! cargo run --example llm_tokens --all-features
//!
//! curl -N http://127.0.0.1:3000/v1/chat/completions --json \
//!     '{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "Tell me"}]}'
//!
//! A chat completion as OpenAI's clients expect it: events without a name, `[DONE]` at the end.
//! The clients request it with POST and `accept: application/json`. The model is a stand-in that
//! repeats the prompt, word by word.
//!
//! `[DONE]` is the only sign of a whole answer that all clients see. Some clients and some proxies
//! end an answer that was cut as if it were complete. A page that reads with `fetch` checks for
//! `[DONE]`:
//!
//! ```js
//! if (!text.endsWith("data: [DONE]\n\n")) throw new Error("half an answer");
//! ```
//!
//! One line turns the answer to a request with the header `idempotency-key` into a run, which
//! continues when its client disconnects. A repeated request gets the same answer, from the
//! beginning or after its `last-event-id`:
//!
//! curl -N http://127.0.0.1:3000/v1/chat/completions -H 'authorization: Bearer me' \
//!     -H 'idempotency-key: 1' --json \
//!     '{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "Tell me"}]}'
//!
//! Set `PORT` to use another port.

use std::{
    env,
    error::Error,
    io, process,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_stream::try_stream;
use axum::{
    Json as Body, Router,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, Event, Json, SseLayer, StreamOptions,
    runs::{InvalidKey, RunKey, Runs},
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let model = Model { slots: Arc::new(Semaphore::new(4)), pace: Duration::from_millis(50) };
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(model, layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

fn app(model: Model, layer: SseLayer) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .with_state(model)
        .layer(Runs::new().layer(run_key))
        .layer(layer)
}

/// Returns the key of the run that answers a request, if its client has named one. The client
/// chooses the name, so the key needs an owner. A real service would use the account of the API
/// key.
fn run_key<B>(request: &Request<B>) -> Option<Result<RunKey, InvalidKey>> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    Some(RunKey::new(header(AUTHORIZATION.as_str())?, header("idempotency-key")?))
}

#[derive(Deserialize)]
struct Completion {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

async fn complete(
    State(model): State<Model>,
    request: Result<Body<Completion>, JsonRejection>,
) -> Result<Response, Failure> {
    let Body(request) = request.map_err(|rejection| Failure::invalid(rejection.body_text()))?;
    let prompt = request.messages.last().ok_or_else(|| Failure::invalid("no messages"))?;
    let answer = Answer::new(request.model);
    let tokens = model.generate(&prompt.content);
    if !request.stream {
        let text: String = tokens.try_collect().await?;
        return Ok(Body(answer.whole(&text)).into_response());
    }
    let role = stream::iter([Ok(json!({ "role": "assistant", "content": "" }))]);
    let contents = tokens.map_ok(|token| json!({ "content": token }));
    // Streamed, not collected: each token is sent when it is generated.
    let chunks = role
        .chain(contents)
        .map_ok(|delta| (delta, Value::Null))
        .chain(stream::iter([Ok((json!({}), json!("stop")))]))
        .map_ok(move |(delta, finish_reason)| Json::new(answer.chunk(&delta, &finish_reason)));
    let options = StreamOptions::new()
        .terminator(Event::from("[DONE]"))
        // The status line was sent before, so the error is an event, which clients raise as an
        // error.
        .on_error(|error| Event::from(Failure::internal(error).body().to_string()));
    Ok((options, tower_sse::response(chunks)).into_response())
}

/// A stand-in for the model.
#[derive(Clone)]
struct Model {
    /// The number of answers that can be generated at once.
    slots: Arc<Semaphore>,
    /// The time that a token takes.
    pace: Duration,
}

impl Model {
    /// Returns the tokens of an answer, each generated when it is polled. When the stream is
    /// dropped, generation stops, and the slot is free for the next request in the queue. Unless
    /// the answer is a run, that's when the client disconnects.
    fn generate(self, prompt: &str) -> impl Stream<Item = Result<String, BoxError>> + use<> {
        let words: Vec<_> = prompt.split_inclusive(' ').map(str::to_owned).collect();
        try_stream! {
            // A streamed response has begun: heartbeats keep its connection open while the request
            // waits for a slot.
            let _slot = self.slots.acquire_owned().await?;
            for word in words {
                sleep(self.pace).await;
                if word.trim_end() == "fail" {
                    Err("the model has failed")?;
                }
                yield word;
            }
        }
    }
}

/// The fields that all parts of an answer share.
struct Answer {
    id: String,
    created: u64,
    model: String,
}

impl Answer {
    fn new(model: String) -> Self {
        let created = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        Self { id: format!("chatcmpl-{:016x}", fastrand::u64(..)), created, model }
    }

    fn chunk(&self, delta: &Value, finish_reason: &Value) -> Value {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
        self.object("chat.completion.chunk", &choice)
    }

    fn whole(&self, text: &str) -> Value {
        let message = json!({ "role": "assistant", "content": text, "refusal": null });
        let choice =
            json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" });
        self.object("chat.completion", &choice)
    }

    fn object(&self, object: &str, choice: &Value) -> Value {
        let Self { id, created, model } = self;
        json!({
            "id": id, "object": object, "created": created, "model": model, "choices": [choice],
        })
    }
}

struct Failure {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Failure {
    fn invalid(message: impl Into<String>) -> Self {
        let (status, kind) = (StatusCode::BAD_REQUEST, "invalid_request_error");
        Self { status, kind, message: message.into() }
    }

    /// Hides the error's text from the client. The text can be a panic's.
    fn internal(error: &(dyn Error + 'static)) -> Self {
        eprintln!("an answer failed: {error}");
        let (status, kind) = (StatusCode::INTERNAL_SERVER_ERROR, "server_error");
        Self { status, kind, message: "internal error".to_owned() }
    }

    fn body(&self) -> Value {
        let Self { kind, message, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
    }
}

impl From<BoxError> for Failure {
    fn from(error: BoxError) -> Self {
        Self::internal(&*error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Body(self.body())).into_response()
    }
}
