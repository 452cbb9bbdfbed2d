//! The most widely used middlewares around `SseLayer` and inside of it. `e2e/middlewares` has
//! others.

use axum::middleware::{Next, from_fn};
use http::StatusCode;
use http_body_util::Collected;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::limit::ConcurrencyLimitLayer;
use tower_http::compression::CompressionLayer;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use tower_http::{timeout::TimeoutLayer, trace::TraceLayer};

use crate::middleware::{Compose, Control, differences};
use crate::{compose, *};

fn timeout_layer() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, PATIENCE)
}
const CORS: &str = "`access-control-allow-origin`, `access-control-expose-headers`";

/// Asserts how a middleware changes streams, first outside of `SseLayer`, then inside. It makes no
/// difference whether one `ServiceBuilder` has both layers.
async fn assert_differs(control: &Control, compose: Compose, [outside, inside]: [&str; 2]) {
    assert_eq!(differences(control, compose).await, [outside, outside, inside, inside]);
}

#[tokio::test(flavor = "multi_thread")]
async fn middlewares_of_most_programs_only_add_headers() {
    let control = &Control::start().await;
    let rows = [
        (compose!(TraceLayer::new_for_http()), "same"),
        (compose!(CorsLayer::permissive()), CORS),
        (compose!(timeout_layer()), "same"),
        (compose!(CatchPanicLayer::new()), "same"),
        (compose!(CompressionLayer::new()), "same"),
        (compose!(ConcurrencyLimitLayer::new(1)), "same"),
    ] as [(Compose, _); 6];
    join_all(rows.map(|(compose, seen)| assert_differs(control, compose, [seen, seen]))).await;
}

/// Reads the body on a task, and notices neither failures nor clients that leave.
async fn detached(request: extract::Request, next: Next) -> Response<Body> {
    next.run(request).await.map(|mut body| {
        let (sender, frames) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                _ = sender.send(Ok::<_, Infallible>(frame));
            }
        });
        Body::new(StreamBody::new(UnboundedReceiverStream::new(frames)))
    })
}

async fn buffered(request: extract::Request, next: Next) -> Response<Body> {
    let (head, body) = next.run(request).await.into_parts();
    let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    Response::from_parts(head, Body::from(bytes))
}

async fn refused(_: extract::Request, _: Next) -> StatusCode {
    StatusCode::NOT_ACCEPTABLE
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_middlewares_are_seen() {
    let control = &Control::start().await;
    let seen = "**an error is a clean end**, **a client that leaves is not noticed**";
    assert_differs(control, compose!(from_fn(detached)), [seen; 2]).await;
    let seen = "**no head until the stream ends**";
    assert_differs(control, compose!(from_fn(buffered)), [seen; 2]).await;
    assert_differs(control, compose!(from_fn(refused)), ["answers `406`"; 2]).await;
}
