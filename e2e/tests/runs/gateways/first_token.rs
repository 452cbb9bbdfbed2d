use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;
use tower_sse::BoxError;
use tower_sse::decode::{Message, MessageStream};

/// Calls the upstream and waits for its first token, for at most `limit`. Returns all messages, or
/// the response to send instead.
pub(crate) async fn messages(
    call: impl Future<Output = Response>,
    limit: Duration,
) -> Result<impl Stream<Item = Result<Message, BoxError>> + Send, Response> {
    let begin = async {
        let upstream = call.await;
        // An upstream's error response isn't an event stream.
        if upstream.status() != StatusCode::OK {
            return Err(upstream);
        }
        let mut messages = MessageStream::new(upstream.into_body()).terminator("[DONE]");
        let mut first = Vec::new();
        while !first.last().is_some_and(has_token)
            && let Some(next) = messages.next().await
        {
            first.push(next);
        }
        Ok(stream::iter(first).chain(messages))
    };
    timeout(limit, begin).await.map_err(|_| StatusCode::GATEWAY_TIMEOUT.into_response())?
}

/// Before the first token, OpenAI's API sends the role. Azure's API sends a chunk without a choice.
fn has_token(message: &Result<Message, BoxError>) -> bool {
    let Ok(message) = message else { return true };
    let Ok(chunk) = serde_json::from_str::<Value>(&message.data) else { return true };
    let delta = chunk["choices"][0]["delta"].as_object();
    delta
        .into_iter()
        .flatten()
        .any(|(name, value)| name != "role" && !value.is_null() && value != "")
}
