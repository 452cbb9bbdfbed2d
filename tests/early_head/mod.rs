//! Heads that are sent before the service has answered.

mod answers;
mod composition;
mod in_process;
mod layers;
mod model;
mod repeated_id;
#[cfg(all(feature = "hub", feature = "runs"))]
mod runs;

use axum::{Router, body::Body as AxumBody, response::Response as AxumResponse, routing::any};
use tower_sse::early_head::EarlyHeadLayer;

use self::SECOND;
use crate::*;

/// How long the layer waits before it sends the head.
const AFTER: Duration = Duration::from_secs(10);
/// How long a late handler takes to answer.
const LATE: Duration = Duration::from_secs(60);

fn early() -> EarlyHeadLayer {
    EarlyHeadLayer::new(AFTER).when(|_| true)
}

fn slow<R>(wait: Duration, answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> Router
where
    R: IntoResponse + Send + 'static,
{
    Router::new().fallback(any(move || {
        let answer = answer.clone();
        async move {
            sleep(wait).await;
            answer()
        }
    }))
}

fn events() -> AxumResponse {
    tower_sse::response(stream::iter(["one", "two"].map(Event::from))).into_response()
}

const EVENTS: &str = "data: one\n\ndata: two\n\n";

async fn send(app: &Router, request: Request<AxumBody>) -> AxumResponse {
    app.clone().oneshot(request).await.unwrap()
}

async fn ask(app: &Router, client: Requester) -> AxumResponse {
    send(app, client.request("/")).await
}

/// Whether middleware calls the service on a task of its own, whether that task reads the first
/// frame too, and whether another task reads the body.
const TASKS: [(bool, bool, bool); 5] = [
    (false, false, false),
    (false, false, true),
    (true, false, false),
    (true, false, true),
    (true, true, false),
];

async fn on_tasks(
    (calls, peeks, reads): (bool, bool, bool),
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> AxumResponse {
    let call = async move {
        let response = next.run(request).await;
        if !peeks {
            return response;
        }
        let (parts, body) = response.into_parts();
        let mut body = body.into_data_stream();
        let first = body.next().await;
        AxumResponse::from_parts(parts, AxumBody::from_stream(stream::iter(first).chain(body)))
    };
    let response = if calls { tokio::spawn(call).await.unwrap() } else { call.await };
    if !reads {
        return response;
    }
    response.map(|body| {
        let (frames, received) = tokio::sync::mpsc::channel(1);
        let mut body = body.into_data_stream();
        tokio::spawn(async move {
            while let Some(frame) = body.next().await {
                frames.send(frame).await.unwrap();
            }
        });
        AxumBody::from_stream(tokio_stream::wrappers::ReceiverStream::new(received))
    })
}

/// Middleware that copies the extensions of requests to responses.
async fn copy(request: Request<AxumBody>, next: axum::middleware::Next) -> AxumResponse {
    let extensions = request.extensions().clone();
    let mut response = next.run(request).await;
    response.extensions_mut().extend(extensions);
    response
}

async fn receive(app: &Router, client: Requester) -> (String, Option<String>) {
    read(ask(app, client).await.into_body()).await
}

/// Reads a body to its end, which may take longer than [`read_to_end`] allows.
async fn read<B>(mut body: B) -> (String, Option<String>)
where
    B: Body<Data = Bytes, Error: fmt::Display> + Unpin,
{
    let mut text = String::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text += str::from_utf8(&frame.into_data().expect("data")).unwrap(),
                Err(error) => return Some(error.to_string()),
            }
        }
        None
    };
    let error = timeout(10 * LATE, reading).await.expect("an end");
    (text, error)
}
