use std::io;

use async_stream::try_stream;
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    middleware::Next,
    response::Response,
};
use futures_util::{Stream, StreamExt};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tower_sse::BoxError;

use super::ledger::Ledger;

/// Simulates the network, outside of all layers: counts the event streams that pass, and cuts them.
pub(crate) async fn pass(State(ledger): State<Ledger>, request: Request, next: Next) -> Response {
    let key = super::key(request.headers(), request.uri());
    let response = next.run(request).await;
    let content_type = response.headers().get(CONTENT_TYPE);
    match key {
        Some(Ok(key)) if content_type.is_some_and(|kind| kind == "text/event-stream") => {
            let cut = ledger.connect(&key).await;
            response.map(|body| Body::from_stream(until_cut(body, cut)))
        }
        _ => response,
    }
}

/// Forwards frames. After the cut, it sends half of the next frame and fails, mid-event.
fn until_cut(body: Body, cut: CancellationToken) -> impl Stream<Item = Result<Bytes, BoxError>> {
    let mut frames = body.into_data_stream();
    try_stream! {
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            if cut.is_cancelled() {
                yield frame.slice(..frame.len() / 2);
                // The server writes what it has while the body is pending.
                yield_now().await;
                Err(io::Error::other("the network was cut"))?;
            }
            yield frame;
        }
    }
}
