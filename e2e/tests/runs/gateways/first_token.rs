use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use tokio::time::timeout;
use tower_sse::{Event, MessageStream, StreamOptions};

pub(crate) async fn forward_soon(upstream: Response, limit: Duration) -> Response {
    let mut messages = MessageStream::new(upstream.into_body()).terminator("[DONE]");
    let Ok(first) = timeout(limit, messages.next()).await else {
        return StatusCode::GATEWAY_TIMEOUT.into_response();
    };
    let events = stream::iter(first).chain(messages).map(|message| message.map(Event::from));
    (StreamOptions::new().terminator("[DONE]"), tower_sse::response(events)).into_response()
}
