//! The gateways that the page `upstreams` shows, in front of a model, with OpenAI's client for npm.

mod first_token;
mod redaction;

use axum::extract::Path;
use axum::routing::post;

use crate::*;

/// Answers with a secret, the beginnings of secrets, and one at the end.
const ANSWER: &str = "Say open sesame, or open open sesame; open sesam is wrong, ö, open ses";
const REDACTED: &str = "Say ***, or open ***; open sesam is wrong, ö, open ses";

/// A model's answer in tokens of `length` characters, or no token at all if that is zero.
fn model(length: usize) -> Response {
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] });
        Event::from(chunk.to_string())
    };
    let role = chunk(json!({ "role": "assistant", "content": "" }), None);
    if length == 0 {
        let open = stream::once(async { Event::new().comment("open") }).chain(stream::pending());
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

/// Serves the gateways. The path has the length of a token.
async fn serve() -> String {
    let redacted = async |Path(length): Path<usize>| redaction::redact(model(length));
    let soon = async |Path(length): Path<usize>| {
        // A model that answers has all the time it needs.
        let limit = if length == 0 { Duration::from_millis(50) } else { support::PATIENCE };
        first_token::forward_soon(model(length), limit).await
    };
    let app = Router::new()
        .route("/redacted/{length}/chat/completions", post(redacted))
        .route("/soon/{length}/chat/completions", post(soon))
        .layer(SseLayer::new().heartbeat(Heartbeat::every(Duration::from_millis(5))));
    format!("http://{}", serve_axum(app).await)
}

/// Returns the text that OpenAI's client receives at a path, and how its answer ends.
async fn ask(url: &str, path: &str) -> Option<(String, String)> {
    let mut client =
        Client::node(Packages::Few, "openai", "openai.mjs", &[&format!("{url}/{path}")])?;
    let end = client.end().await;
    Some((client.text, end))
}

#[tokio::test]
async fn secret_is_redacted_wherever_it_is_split() {
    let url = serve().await;
    for length in [1, 2, 3, 5, 7, 11, 12, 100] {
        let Some(answer) = ask(&url, &format!("redacted/{length}")).await else { return };
        assert_eq!(answer, (REDACTED.to_owned(), "complete".to_owned()), "{length}");
    }
}

#[tokio::test]
async fn client_of_a_model_without_a_token_gets_a_status() {
    let url = serve().await;
    let Some((text, end)) = ask(&url, "soon/0").await else { return };
    assert_eq!((&*text, &*end), ("", "Error: 504 status code (no body)"));
    let answer = ask(&url, "soon/4").await.unwrap();
    assert_eq!(answer, (ANSWER.to_owned(), "complete".to_owned()));
}
