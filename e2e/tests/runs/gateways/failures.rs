//! A model's answer that has failed, although its status is 200.

use futures_util::{Stream, TryStreamExt, future::ready};
use serde_json::Value;
use tower_sse::{BoxError, decode::Message};

/// Ends with an error at the message with which the upstream says that its answer has failed.
pub(crate) fn unless_failed(
    messages: impl Stream<Item = Result<Message, BoxError>> + Send,
) -> impl Stream<Item = Result<Message, BoxError>> + Send {
    messages.and_then(|message| {
        let has_failed = is_failure(&message.event, &message.data);
        ready(if has_failed { Err(message.data.into()) } else { Ok(message) })
    })
}

pub(crate) fn is_failure(event: &str, data: &str) -> bool {
    // Anthropic's API and OpenAI's Responses API:
    matches!(event, "error" | "response.failed")
        // Chat completions and Gemini's API:
        || data.contains(r#""error""#)
            && serde_json::from_str::<Value>(data).is_ok_and(|it| !it["error"].is_null())
}
