use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;
use tower_sse::{BoxError, Message, MessageStream};

/// Calls the upstream, and returns its messages once there is a token, or the response to send
/// instead. The limit begins with the call.
pub(crate) async fn messages(
    call: impl Future<Output = Response>,
    limit: Duration,
) -> Result<impl Stream<Item = Result<Message, BoxError>> + Send, Response> {
    let begin = async {
        let upstream = call.await;
        // An error of the upstream is not an event stream.
        if upstream.status() != StatusCode::OK {
            return Err(upstream);
        }
        let mut messages = MessageStream::new(upstream.into_body()).terminator("[DONE]");
        let mut first = Vec::new();
        while first.last().is_none_or(has_only_role)
            && let Some(next) = messages.next().await
        {
            first.push(next);
        }
        Ok(stream::iter(first).chain(messages))
    };
    let timed_out = || StatusCode::GATEWAY_TIMEOUT.into_response();
    timeout(limit, begin).await.map_err(|_| timed_out())?
}

/// OpenAI's API sends the role of a message before its first token.
fn has_only_role(message: &Result<Message, BoxError>) -> bool {
    let Ok(message) = message else { return false };
    let chunk: Value = serde_json::from_str(&message.data).unwrap_or_default();
    let delta = &chunk["choices"][0]["delta"];
    delta["role"].is_string() && delta["content"].as_str().is_none_or(str::is_empty)
}
