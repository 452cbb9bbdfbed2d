use std::{collections::HashMap, mem::take};

use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tower_sse::{BoxError, Event, StreamOptions, decode::Message};

const SECRET: &str = "open sesame";

pub(crate) fn redact(
    messages: impl Stream<Item = Result<Message, BoxError>> + Send + 'static,
) -> Response {
    let mut held = HashMap::<u64, String>::new(); // by the index of the choice
    let events = messages.map(move |message| {
        let message = message?;
        let mut chunk: Value = serde_json::from_str(&message.data)?;
        let choices = chunk.get_mut("choices").and_then(Value::as_array_mut);
        for choice in choices.into_iter().flatten() {
            choice.as_object_mut().map(|it| it.remove("logprobs")); // they repeat the text
            let held = held.entry(choice["index"].as_u64().unwrap_or_default()).or_default();
            let is_last = !choice["finish_reason"].is_null();
            let delta = choice.get_mut("delta").and_then(Value::as_object_mut);
            let Some(delta) = delta else { continue };
            let text = delta.get("content").and_then(Value::as_str).unwrap_or_default();
            let mut text = (take(held) + text).replace(SECRET, "***");
            if !is_last {
                *held = text.split_off(text.len() - beginning(&text).len());
            }
            delta.insert("content".into(), text.into());
        }
        Ok::<_, BoxError>(Event::from(message).data(chunk.to_string()))
    });
    (StreamOptions::new().terminator("[DONE]"), tower_sse::response(events)).into_response()
}

/// Returns the end of the text that could be the beginning of the secret.
fn beginning(text: &str) -> &str {
    let mut beginnings = SECRET.char_indices().rev().map(|(end, _)| &SECRET[..end]);
    beginnings.find(|beginning| text.ends_with(beginning)).unwrap_or_default()
}
