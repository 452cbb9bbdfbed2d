//! The gateways that the page `upstreams` shows, in front of a model, with OpenAI's client for npm.

mod first_token;
mod redaction;

use axum::extract::Path;
use axum::routing::post;

use crate::*;

/// Answers with a secret, the beginnings of secrets, and one at the end.
const ANSWER: &str = "Say open sesame, or open open sesame; open sesam is wrong, ö, open ses";
const REDACTED: &str = "Say ***, or open ***; open sesam is wrong, ö, open ses";

/// The length that stands for a model that refuses.
const BUSY: usize = usize::MAX;

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

/// Serves a gateway that has the programs of the page. The path has the length of a token.
async fn serve() -> String {
    let gateway = async |Path(length): Path<usize>| {
        // A model that answers has all the time it needs.
        let limit = if length == 0 { Duration::from_millis(50) } else { support::PATIENCE };
        let upstream = if length == BUSY {
            StatusCode::TOO_MANY_REQUESTS.into_response()
        } else {
            model(length)
        };
        Ok::<_, Response>(redaction::redact(first_token::messages(upstream, limit).await?))
    };
    let app = Router::new()
        .route("/{length}/chat/completions", post(gateway))
        .layer(SseLayer::new().heartbeat(Heartbeat::every(Duration::from_millis(5))));
    format!("http://{}", serve_axum(app).await)
}

/// Returns the text that OpenAI's client receives of tokens of this length, and how its answer ends.
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
async fn client_of_a_model_without_a_token_gets_a_status() {
    let url = serve().await;
    let Some((text, end)) = ask(&url, 0).await else { return };
    assert_eq!((&*text, &*end), ("", "Error: 504 status code (no body)"));
}

#[tokio::test]
async fn refusal_by_a_model_reaches_the_client_with_its_status() {
    let url = serve().await;
    let Some((text, end)) = ask(&url, BUSY).await else { return };
    assert_eq!((&*text, &*end), ("", "Error: 429 status code (no body)"));
}
