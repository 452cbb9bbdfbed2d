//! cargo run --package tower-sse-graphql
//!
//! A GraphQL server at http://127.0.0.1:3000/graphql, for clients such as `graphql-sse` from npm.
//! To stop it, press ctrl-c or send a SIGTERM. Set `PORT` to use another port.

pub(crate) mod chat;

use std::{convert::Infallible, env, io, time::Duration};

use async_graphql::{Response as Outcome, ServerError, parser::types::OperationType};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::{conn::auto, graceful::GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::{Layer, service_fn};
use tower_sse::{BoxError, Drain, Event, SseLayer, StreamOptions, hub::Hub};

use self::chat::Chat;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}/graphql", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    // `serve` has the deadline.
    tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    serve(listener, chat::schema(Hub::new()), graphql_layer(), shutdown).await;
    Ok(())
}

/// Adds the protocol's last event, which clients receive only at the end of complete results.
pub(crate) fn graphql_layer() -> SseLayer {
    SseLayer::new().terminator(Event::new().event("complete").data("")).require_accept(true)
}

/// Serves until `shutdown` is cancelled and every stream has ended, at most 40 seconds later.
pub(crate) async fn serve(
    listener: TcpListener,
    schema: Chat,
    layer: SseLayer,
    shutdown: CancellationToken,
) {
    let layer = layer.shutdown(shutdown.clone());
    let service = layer.layer(service_fn(move |request| answer(schema.clone(), request)));
    let mut server = auto::Builder::new(TokioExecutor::new());
    // With a timer, hyper closes HTTP/1 connections whose client never completes a request head.
    // Connections that send nothing stay open, so put a proxy in front.
    server.http1().timer(TokioTimer::new());
    let connections = GracefulShutdown::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            // No file descriptor is free, for example.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = sleep(Duration::from_secs(40)) => {}
    }
}

type Body = UnsyncBoxBody<Bytes, BoxError>;

async fn answer(schema: Chat, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut request = match read(request).await {
        Ok(request) => request,
        Err((status, reason)) => return Ok(reject(status, reason)),
    };
    // At a shutdown, queries and mutations have 30 seconds to finish. Subscriptions never finish.
    let drain = if is_subscription(&mut request) { Drain::at_once() } else { Drain::per_client() };
    let results = schema.execute_stream(request);
    let events = results.map(|result| Event::new().event("next").json(result));
    let mut response = tower_sse::response(events).map(BodyExt::boxed_unsync);
    StreamOptions::new().drain(drain).merge_into(&mut response);
    Ok(response)
}

type Rejection = (StatusCode, String);

async fn read(request: Request<Incoming>) -> Result<async_graphql::Request, Rejection> {
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "send a POST".into()));
    }
    // Without this check, pages of other origins could send mutations.
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&[][..], |it| it.as_bytes());
    if !content_type.starts_with(b"application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json".into()));
    }
    let body = Limited::new(request.into_body(), 64 << 10).collect().await;
    let body = body.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn reject(status: StatusCode, reason: String) -> Response<Body> {
    let errors = Outcome::from_errors(vec![ServerError::new(reason, None)]);
    let json = serde_json::to_vec(&errors).unwrap_or_default();
    let mut response = Response::new(Full::from(json).map_err(BoxError::from).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns whether the request asks for results that may never end.
pub(crate) fn is_subscription(request: &mut async_graphql::Request) -> bool {
    let asked = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else { return false };
    document.operations.iter().any(|(name, operation)| {
        let is_asked = asked.is_none() || name.map(|name| name.as_str()) == asked.as_deref();
        is_asked && operation.node.ty == OperationType::Subscription
    })
}
