//! Response heads that are sent before the answer, behind an nginx that times out before the
//! answer. The clients are those of language models, an `EventSource` and curl.

use std::process::Output;

use axum::routing::{get, post};
use axum::{Json, response::Html};
use tokio::time::sleep;
use tower_sse::early_head::{EarlyHeadLayer, anthropic_error, openai_error};

use crate::support::Proxy;
use crate::*;

/// The time that the handlers take. nginx waits for less than half of it.
const SLOW: Duration = Duration::from_secs(7);
const NGINX: &str = "proxy_read_timeout 3s; proxy_http_version 1.1;";

/// The words of each whole answer.
const WORDS: [&str; 2] = ["Good ", "morning"];

async fn completion() -> Response {
    sleep(SLOW).await;
    let chunk = |word| {
        let choice = json!({ "index": 0, "delta": { "content": word } });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "choices": [choice] });
        Event::from(chunk.to_string())
    };
    let end = [Event::from("[DONE]")];
    tower_sse::response(stream::iter(WORDS.map(chunk).into_iter().chain(end))).into_response()
}

async fn message() -> Response {
    sleep(SLOW).await;
    let usage = json!({ "input_tokens": 1, "output_tokens": 1 });
    let message = json!({
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let text = json!({ "type": "text", "text": "" });
    let stop = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let event = |name, mut data: Value| {
        data["type"] = Value::from(name);
        Event::new().event(name).data(data.to_string())
    };
    let word = |word| {
        let delta = json!({ "type": "text_delta", "text": word });
        event("content_block_delta", json!({ "index": 0, "delta": delta }))
    };
    let start = [
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({ "index": 0, "content_block": text })),
    ];
    let end = [
        event("content_block_stop", json!({ "index": 0 })),
        event("message_delta", json!({ "delta": stop, "usage": usage })),
        event("message_stop", json!({})),
    ];
    let events: Vec<_> = start.into_iter().chain(WORDS.map(word)).chain(end).collect();
    tower_sse::response(stream::iter(events)).into_response()
}

/// An error as the APIs of OpenAI and Anthropic send it.
fn error(status: u16) -> Response {
    let error = json!({ "type": "overloaded_error", "message": "later", "code": "overloaded" });
    let body = Json(json!({ "type": "error", "error": error }));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("retry-after", "7")], body).into_response()
}

async fn busy(status: u16) -> Response {
    sleep(SLOW).await;
    error(status)
}

async fn words() -> Response {
    sleep(SLOW).await;
    let end = [Event::new().event("end").data("end")];
    let events = WORDS.map(Event::from).into_iter().chain(end);
    tower_sse::response(stream::iter(events)).into_response()
}

fn routes() -> Router {
    Router::new()
        .route("/slow/chat/completions", post(completion))
        .route("/busy/chat/completions", post(async || busy(429).await))
        .route("/quick/chat/completions", post(async || error(429)))
        .route("/slow/v1/messages", post(message))
        .route("/busy/v1/messages", post(async || busy(529).await))
        .route("/words", get(words))
}

/// Starts a server behind nginx. Its routes are without `EarlyHeadLayer`, with it, and with it and
/// the late event of each API.
async fn start() -> Option<Proxy> {
    let program = find_nginx()?;
    let heartbeat = Heartbeat::every(Duration::from_millis(500));
    let ping = heartbeat.clone().event("ping", r#"{"type": "ping"}"#);
    let early = EarlyHeadLayer::new(Duration::from_millis(500)).when(|_| true);
    let of = |early: EarlyHeadLayer| routes().layer(early);
    let app = Router::new()
        .nest("/bare", routes())
        .nest("/early", of(early.clone()))
        .nest("/openai", of(early.clone().late_event(openai_error)))
        .nest(
            "/anthropic",
            of(early.late_event(anthropic_error)).layer(SseLayer::new().heartbeat(ping)),
        )
        .layer(SseLayer::new().heartbeat(heartbeat))
        .route("/", get(Html("<!doctype html><title>words</title>")));
    let server = serve_axum(app).await;
    Some(Proxy::nginx(&program, &format!("server {server};"), NGINX).await)
}

/// Posts by curl, and returns curl's exit status, the status of the response, and the body.
async fn curl(program: &std::path::Path, nginx: &Proxy, path: &str) -> (i32, String, String) {
    let url = format!("http://{}{path}", nginx.address);
    let mut command = Command::new(program);
    command.args(["--silent", "--no-buffer", "--write-out", "\n%{http_code}", "--data", "", &url]);
    let Output { status, stdout, .. } = soon(command.output()).await.unwrap();
    let output = String::from_utf8(stdout).unwrap();
    let (body, http_status) = output.rsplit_once('\n').unwrap();
    (status.code().unwrap(), http_status.to_owned(), body.to_owned())
}

#[tokio::test]
async fn curl_gets_a_whole_answer_or_sees_that_it_failed() {
    let (Some(nginx), Some(program)) = (start().await, find(&["curl"])) else { return };
    let ask = async |path| curl(&program, &nginx, path).await;
    let (bare, whole, failed) = tokio::join!(
        ask("/bare/slow/chat/completions"),
        ask("/early/slow/chat/completions"),
        ask("/early/busy/chat/completions")
    );
    assert_eq!((bare.0, &*bare.1), (0, "504"));
    assert_eq!((whole.0, &*whole.1), (0, "200"));
    assert!(whole.2.starts_with(": \n") && whole.2.ends_with("data: [DONE]\n\n"), "{}", whole.2);
    // This exit status says that the body was cut.
    assert_eq!((failed.0, &*failed.1), (18, "200"));
    assert!(!failed.2.contains("data: "), "{}", failed.2);
}

#[derive(Debug)]
struct Ended {
    text: String,
    end: String,
    /// The class of the client's error. `error` is what the server sent.
    kind: Value,
    error: Value,
}

async fn finish(mut client: Client) -> Ended {
    loop {
        let mut line = client.next().await;
        if let Some(end) = line["end"].as_str() {
            let end = end.to_owned();
            let [kind, error] = ["kind", "error"].map(|member| line[member].take());
            return Ended { text: client.text, end, kind, error };
        }
    }
}

/// Starts three clients: for a slow answer without `EarlyHeadLayer`, for a slow answer with the
/// layer, and for a late error. The first client must report `timeout`. The error of the third
/// client must have the class `kind` and, at `place`, the status.
async fn asks(
    layer: &str,
    start_client: impl Fn(&str) -> Option<Client>,
    timeout: &str,
    kind: &str,
    (place, status): (&str, u16),
) {
    let Some(nginx) = start().await else { return };
    let mut ended = Vec::new();
    // The clients start one after the other, because loading some packages keeps a processor busy
    // for seconds.
    for path in ["bare/slow".into(), format!("{layer}/slow"), format!("{layer}/busy")] {
        let Some(client) = start_client(&format!("http://{}/{path}", nginx.address)) else {
            return;
        };
        ended.push(finish(client).await);
    }
    let [bare, whole, late] = &ended[..] else { unreachable!() };
    assert!(bare.text.is_empty() && format!("{bare:?}").contains(timeout), "{bare:?}");
    assert_eq!((&*whole.text, &*whole.end), ("Good morning", "complete"), "{whole:?}");
    assert!(late.text.is_empty() && late.end != "complete", "{late:?}");
    let expected = (&json!(kind), Some(&json!(status)));
    assert_eq!((&late.kind, late.error.pointer(place)), expected, "{late:?}");
}

#[tokio::test]
async fn openai_client_gets_a_slow_answer_and_a_late_error() {
    let start = |url: &str| Client::node(Packages::Few, "openai", "openai.mjs", &[url]);
    asks("openai", start, "504", "APIError", ("/status", 429)).await;
}

#[tokio::test]
#[ignore = "of .ci/slow early-head"]
async fn other_clients_of_models_get_a_slow_answer_and_a_late_error() {
    let python = |url: &str| Client::python("openai_client.py", &[url]);
    asks("openai", python, "InternalServerError", "APIError", ("/status", 429)).await;
    let place = ("/error/status", 529);
    let node =
        |url: &str| Client::node(Packages::All, "@anthropic-ai/sdk", "anthropic.mjs", &[url]);
    asks("anthropic", node, "504", "APIError", place).await;
    let python = |url: &str| Client::python("anthropic_client.py", &[url]);
    asks("anthropic", python, "GatewayTimeoutError", "APIStatusError", place).await;
}

#[tokio::test]
async fn event_source_of_node_stays_for_a_slow_answer() {
    let Some(nginx) = start().await else { return };
    let start = |layer: &str| {
        let url = format!("http://{}/{layer}/words", nginx.address);
        Client::node(Packages::Few, "eventsource", "event_source.mjs", &[&url])
    };
    let (Some(mut bare), Some(mut early)) = (start("bare"), start("early")) else { return };
    let (end, ()) = tokio::join!(bare.end(), early.until_received(WORDS.concat().len()));
    assert_eq!((&*end, &*bare.text), ("504", ""));
    assert_eq!(early.text, WORDS.concat());
}

#[tokio::test]
async fn event_source_of_a_browser_stays_for_a_slow_answer() {
    let (Some(nginx), Some(tools)) = (start().await, Tools::find()) else { return };
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", nginx.address)).await;
    let listen = "window.seen = {};
        for (const layer of ['bare', 'early']) {
            const seen = window.seen[layer] = { text: '', closed: false };
            const source = new EventSource(`/${layer}/words`);
            source.onmessage = ({ data }) => { seen.text += data };
            source.addEventListener('end', () => source.close());
            source.onerror = () => { seen.closed = source.readyState === EventSource.CLOSED };
        }
        arguments[arguments.length - 1](true);";
    browser.answer(listen).await.unwrap();
    browser.until("window.seen.bare.closed && window.seen.bare.text === ''").await;
    let text = "window.seen.early.text.length >= 12 && window.seen.early.text";
    assert_eq!(browser.until(text).await, WORDS.concat());
}
