//! The gateways that the page `upstreams` shows, in front of a model, with OpenAI's client for npm.

mod failed;
mod failures;
mod first_token;
mod keep_alives;
mod redaction;
mod relay;

use axum::body::to_bytes;
use axum::extract::Path;
use axum::routing::post;

use crate::*;

/// An answer with the secret, and with texts that begin like the secret, one of them at the end.
const ANSWER: &str = "Say open sesame, or open open sesame; open sesam is wrong, ö, open ses";
const REDACTED: &str = "Say ***, or open ***; open sesam is wrong, ö, open ses";

/// Token lengths that stand for other models: one that refuses, one that sends only a role, and one
/// that sends no head.
const BUSY: usize = usize::MAX;
const ROLE: usize = 0;
const SILENT: usize = usize::MAX - 1;

/// A model's answer in tokens of `length` characters.
fn model(length: usize) -> Response {
    let chunk = |delta: Value, reason: Option<&str>| {
        let logprobs = json!({ "content": [{ "token": delta["content"], "logprob": -0.5 }] });
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason });
        let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] });
        Event::from(chunk.to_string())
    };
    let role = chunk(json!({ "role": "assistant", "content": "" }), None);
    if length == ROLE {
        let of_azure =
            Event::from(json!({ "choices": [], "prompt_filter_results": [] }).to_string());
        let open = stream::iter([of_azure, role]).chain(stream::pending());
        return tower_sse::response(open).into_response();
    }
    let text: Vec<_> = ANSWER.chars().collect();
    let tokens = text.chunks(length).map(|token| token.iter().collect::<String>());
    let tokens = tokens.map(|token| chunk(json!({ "content": token }), None));
    // The usage, which has no choice.
    let usage = Event::from(json!({ "id": "1", "choices": [], "usage": {} }).to_string());
    let end = [chunk(json!({}), Some("stop")), usage, Event::from("[DONE]")];
    let events: Vec<_> = [role].into_iter().chain(tokens).chain(end).collect();
    tower_sse::response(stream::iter(events)).into_response()
}

/// Serves a gateway that has the programs of the page. The path has the length of a token.
async fn serve() -> String {
    let gateway = async |Path(length): Path<usize>| {
        // A model that answers has all the time it needs.
        let is_slow = matches!(length, ROLE | SILENT);
        let limit = if is_slow { Duration::from_millis(50) } else { support::PATIENCE };
        let call = async move {
            match length {
                BUSY => StatusCode::TOO_MANY_REQUESTS.into_response(),
                SILENT => std::future::pending().await,
                _ => model(length),
            }
        };
        Ok::<_, Response>(redaction::redact(first_token::messages(call, limit).await?))
    };
    let app = Router::new()
        .route("/{length}/chat/completions", post(gateway))
        .layer(SseLayer::new().heartbeat(Heartbeat::every(Duration::from_millis(5))));
    format!("http://{}", serve_axum(app).await)
}

/// Has the model answer in tokens of this length. Returns the text that OpenAI's client receives,
/// and how the answer ends.
async fn ask(url: &str, length: usize) -> Option<(String, String)> {
    let mut client =
        Client::node(Packages::Few, "openai", "openai.mjs", &[&format!("{url}/{length}")])?;
    let end = client.end().await;
    Some((client.text, end))
}

#[tokio::test]
async fn secret_is_redacted_wherever_it_is_split() {
    let url = serve().await;
    for length in [1, 2, 3, 5, 7, 11, 12, 100] {
        let Some(answer) = ask(&url, length).await else { return };
        assert_eq!(answer, (REDACTED.to_owned(), "complete".to_owned()), "{length}");
    }
}

#[tokio::test]
async fn client_of_a_silent_or_refusing_model_gets_a_status() {
    let url = serve().await;
    for (length, status) in [(ROLE, 504), (SILENT, 504), (BUSY, 429)] {
        let Some(answer) = ask(&url, length).await else { return };
        let error = format!("Error: {status} status code (no body)");
        assert_eq!(answer, (String::new(), error), "{length}");
    }
}

#[tokio::test]
async fn probabilities_of_tokens_do_not_repeat_the_secret() {
    let call = async { model(ANSWER.len()) };
    let messages = first_token::messages(call, support::PATIENCE).await.unwrap();
    let body = to_bytes(redaction::redact(messages).into_body(), usize::MAX).await.unwrap();
    assert!(!String::from_utf8_lossy(&body).contains("open sesame"));
}
