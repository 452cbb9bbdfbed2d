use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use tokio::time::timeout;
use tower_sse::{BoxError, Message, MessageStream};

/// Returns the upstream's messages once the first one has arrived, or the response to send instead.
pub(crate) async fn messages(
    upstream: Response,
    limit: Duration,
) -> Result<impl Stream<Item = Result<Message, BoxError>> + Send, Response> {
    // An error of the upstream is not an event stream.
    if upstream.status() != StatusCode::OK {
        return Err(upstream);
    }
    let mut messages = MessageStream::new(upstream.into_body()).terminator("[DONE]");
    let Ok(first) = timeout(limit, messages.next()).await else {
        return Err(StatusCode::GATEWAY_TIMEOUT.into_response());
    };
    Ok(stream::iter(first).chain(messages))
}
