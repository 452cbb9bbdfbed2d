use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use eventsource_stream::{Event, Eventsource};
use futures_util::TryStreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyDataStream, BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::advance};
use tower::ServiceExt;

use crate::*;

#[path = "../../../examples/llm_tokens.rs"]
#[allow(dead_code)]
mod example;

use example::Model;

const PATH: &str = "/v1/chat/completions";

fn model(slots: usize, pace: Duration) -> Model {
    Model { slots: Arc::new(Semaphore::new(slots)), pace }
}

fn quick() -> Model {
    model(1, Duration::from_millis(1))
}

async fn serve(model: Model) -> SocketAddr {
    serve_axum(example::app(model)).await
}

fn completion(prompt: &str, stream: bool) -> Value {
    let messages = json!([
        { "role": "system", "content": "You are a parrot." },
        { "role": "user", "content": prompt },
    ]);
    json!({ "model": "parrot", "stream": stream, "messages": messages, "temperature": 0 })
}

/// Headers as the SDKs send them.
fn request<B: From<String>>(completion: &Value) -> Request<B> {
    Request::post(PATH)
        .header("host", "localhost")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("authorization", "Bearer none")
        .body(completion.to_string().into())
        .unwrap()
}

async fn post(address: SocketAddr, completion: &Value) -> Response<Incoming> {
    let request: Request<Full<Bytes>> = request(completion);
    soon(connect_h1(address).await.send_request(request)).await.unwrap()
}

async fn json_body(response: Response<Incoming>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Returns all events of a response, read by another crate's decoder.
async fn events(response: Response<Incoming>) -> Vec<Event> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    soon(BodyDataStream::new(response.into_body()).eventsource().try_collect()).await.unwrap()
}

/// Returns the content of a whole answer, and asserts that its parts agree.
fn content(events: &[Event]) -> String {
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(done.data, "[DONE]");
    assert!(events.iter().all(|event| event.event == "message" && event.id.is_empty()));

    let chunks: Vec<Value> =
        chunks.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    let (first, last) = (&chunks[0], chunks.len() - 1);
    assert!(first["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(first["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert_eq!(chunks[last]["choices"][0]["delta"], json!({}));
    let mut content = String::new();
    for (place, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "parrot");
        assert_eq!((&chunk["id"], &chunk["created"]), (&first["id"], &first["created"]));
        let [choice] = &chunk["choices"].as_array().unwrap()[..] else { panic!("{chunk}") };
        assert_eq!(choice["index"], 0);
        let finish_reason = if place == last { json!("stop") } else { Value::Null };
        assert_eq!(choice["finish_reason"], finish_reason);
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    }
    content
}

#[tokio::test]
async fn a_stream_is_chunks_and_then_done() {
    let address = serve(quick()).await;
    for prompt in ["Polly wants a cracker", "two\nlines\r\nand  \u{2028}ümlaut \"quoted\"", ""] {
        let answered = events(post(address, &completion(prompt, true)).await).await;
        assert_eq!(content(&answered), prompt);
    }
}

#[tokio::test]
async fn the_crates_own_decoder_reads_the_same() {
    let address = serve(quick()).await;
    let response = post(address, &completion("a b c", true)).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let read = EventReader::new(response).rest().await;
    let read: Vec<_> = read
        .into_iter()
        .map(|message| Event { event: message.event, data: message.data, ..Event::default() })
        .collect();
    assert_eq!(content(&read), "a b c");
}

#[tokio::test]
async fn without_stream_the_answer_is_one_object_untouched_by_the_layer() {
    let response = post(serve(quick()).await, &completion("Polly wants a cracker", false)).await;
    assert_eq!(response.status(), 200);
    let touched = |headers: &HeaderMap| {
        ["cache-control", "x-accel-buffering"].map(|name| headers.get(name).is_some())
    };
    assert_eq!(touched(response.headers()), [false; 2]);
    assert!(response.headers().contains_key("content-length"));

    let answer = json_body(response).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "parrot");
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], "Polly wants a cracker");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_create_no_block_without_data() {
    let app = example::app(model(1, Duration::from_secs(40)));
    let response = app.oneshot(request::<Body>(&completion("a b", true))).await.unwrap();
    // The clock advances whenever all tasks are waiting.
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = str::from_utf8(&body).unwrap();

    let heartbeats = body.lines().filter(|line| *line == ":").count();
    assert_eq!(heartbeats, 4, "two in each silence of 40 seconds: {body}");
    let blocks: Vec<_> = body.split_terminator("\n\n").collect();
    assert_eq!(blocks.len(), 5, "role, two tokens, stop, done: {body}");
    for block in blocks {
        let with_data = block.lines().filter(|line| line.starts_with("data: ")).count();
        assert_eq!(with_data, 1, "{block:?}");
    }
    assert!(body.ends_with("\n\ndata: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_slot_gets_heartbeats() {
    const PACE: Duration = Duration::from_secs(1);

    let app = example::app(model(1, PACE));
    let ask = || app.clone().oneshot(request::<Body>(&completion("word", true)));
    let mut before = ask().await.unwrap().into_body();
    let mut queued = ask().await.unwrap().into_body();
    for body in [&mut before, &mut queued] {
        let Polled::Data(role) = poll_frame(body) else { panic!("no role") };
        assert!(role.starts_with(b"data: {"));
        assert_eq!(poll_frame(body), Polled::Pending);
    }
    advance(Duration::from_secs(16)).await;
    assert_eq!(poll_frame(&mut queued), Polled::Data(":\n".into()));
    assert_eq!(poll_frame(&mut queued), Polled::Pending);

    drop(before);
    assert_eq!(poll_frame(&mut queued), Polled::Pending);
    advance(PACE).await;
    let Polled::Data(token) = poll_frame(&mut queued) else { panic!("no token") };
    assert!(str::from_utf8(&token).unwrap().contains(r#""content":"word""#));
}

#[tokio::test]
async fn generation_stops_when_the_client_leaves() {
    const HOUR: Duration = Duration::from_secs(3600);

    let model = model(4, HOUR);
    let address = serve(model.clone()).await;
    let mut events = EventReader::new(post(address, &completion("word", true)).await);
    events.next().await.expect("the role");
    assert_eq!(model.slots.available_permits(), 3);
    drop(events);
    let _all = soon(model.slots.acquire_many(4)).await.unwrap();
}

/// Sends a request whose answer is a run, with this last event id.
async fn post_named(address: SocketAddr, prompt: &str, last: Option<&str>) -> Response<Incoming> {
    let mut request: Request<Full<Bytes>> = request(&completion(prompt, true));
    request.headers_mut().insert("idempotency-key", "turn-1".parse().unwrap());
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().unwrap());
    }
    soon(connect_h1(address).await.send_request(request)).await.unwrap()
}

#[tokio::test]
async fn a_request_with_a_key_is_generated_once() {
    const HOUR: Duration = Duration::from_secs(3600);

    let model = model(1, HOUR);
    let address = serve(model.clone()).await;
    let mut left = EventReader::new(post_named(address, "word", None).await);
    let role = left.next().await.expect("the role");
    drop(left);
    // The same request again, without the slot that a second call would wait for.
    let mut again = EventReader::new(post_named(address, "word", None).await);
    let repeated = again.next().await.expect("the role");
    assert_eq!((&repeated.data, &repeated.last_event_id), (&role.data, &role.last_event_id));
    assert_eq!(model.slots.available_permits(), 0, "the run goes on");
}

#[tokio::test]
async fn a_run_resumes_after_any_of_its_events() {
    let address = serve(quick()).await;
    let whole = events(post_named(address, "Polly wants a cracker", None).await).await;
    assert_eq!(whole.len(), 7, "role, four tokens, stop, done: {whole:?}");
    for seen in 0..6 {
        let rest = post_named(address, "Polly wants a cracker", Some(&whole[seen].id)).await;
        assert_eq!(data(&events(rest).await), data(&whole[seen + 1..]));
    }
    let unknown = post_named(address, "Polly wants a cracker", Some("other-1")).await;
    assert_eq!(unknown.status(), 404);
}

fn data(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data.as_str()).collect()
}

#[tokio::test]
async fn a_failure_mid_stream_is_the_last_event() {
    let address = serve(quick()).await;
    let events = events(post(address, &completion("now fail please", true)).await).await;
    assert_eq!(events.len(), 3, "role, one token, the error: {events:?}");
    assert_eq!(events[2].event, "message");
    let error: Value = serde_json::from_str(&events[2].data).unwrap();
    assert_eq!(error["error"]["message"], "the model has failed");
    assert_eq!(error["error"]["type"], "server_error");
}

#[tokio::test]
async fn failures_before_the_stream_have_a_status() {
    let address = serve(quick()).await;
    for (request, status, kind) in [
        (completion("now fail please", false), 500, "server_error"),
        (json!({ "model": "parrot", "messages": [] }), 400, "invalid_request_error"),
        (json!({ "stream": true }), 400, "invalid_request_error"),
    ] {
        let response = post(address, &request).await;
        assert_eq!(response.status(), status);
        assert_eq!(json_body(response).await["error"]["type"], kind);
    }
}
