//! cargo run --package tower-sse-tonic --bin tonic_web
//!
//! curl -N http://127.0.0.1:3000/events
//!
//! printf '\0\0\0\0\0' | curl http://127.0.0.1:3000/grpc.health.v1.Health/Check \
//!     --header 'content-type: application/grpc-web+proto' --data-binary @- | xxd
//!
//! One port for gRPC, grpc-web and events: gRPC's own health service, whose streaming method
//! `Watch` browsers can also follow with an `EventSource`. Calls pass through the layer untouched.
//!
//! Set `PORT` to use another port.

use std::{env, error::Error, process, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    response::IntoResponse,
    routing::get,
};
use futures_util::TryStreamExt;
use http::StatusCode;
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService},
};
use tonic_web::GrpcWebLayer;
use tower_sse::{Event, SseLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let reporter = HealthReporter::new();
    tokio::spawn(have_ups_and_downs(reporter.clone()));
    let shutdown = CancellationToken::new();
    let server = serve(listener, reporter, shutdown.clone());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

async fn serve(
    listener: TcpListener,
    reporter: HealthReporter,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .accept_http1(true)
        .layer(SseLayer::new().shutdown(shutdown.clone()))
        .add_routes(routes(reporter))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await
}

fn routes(reporter: HealthReporter) -> Routes {
    let health = Arc::new(HealthService::from_health_reporter(reporter));
    let calls = Routes::new(HealthServer::from_arc(Arc::clone(&health)));
    let events = Router::new().route("/events", get(watch)).with_state(health);
    // Only calls go through `GrpcWebLayer`: it answers 400 to any other HTTP/1 request.
    Routes::from(calls.into_axum_router().layer(GrpcWebLayer::new()).merge(events))
}

#[derive(Deserialize)]
struct Watch {
    /// The name of the service; empty for the server as a whole.
    #[serde(default)]
    service: String,
}

/// Answers with the call `Watch` as events. They need no ids: the first one is always the current
/// status, so there is nothing to resume.
async fn watch(
    State(health): State<Arc<HealthService>>,
    Query(Watch { service }): Query<Watch>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let updates = health
        .watch(Request::new(HealthCheckRequest { service }))
        .await
        .map_err(|status| (http_status(&status), status.message().to_owned()))?
        .into_inner()
        .map_ok(|update| Event::new().event("health").data(update.status().as_str_name()));
    Ok(tower_sse::response(updates))
}

/// Returns the status for a failed call. An `EventSource` gives up at any status but 200, which is
/// right for an unknown service.
fn http_status(status: &Status) -> StatusCode {
    match status.code() {
        Code::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn have_ups_and_downs(reporter: HealthReporter) {
    for status in [ServingStatus::NotServing, ServingStatus::Serving].into_iter().cycle() {
        sleep(Duration::from_secs(2)).await;
        reporter.set_service_status("", status).await;
    }
}
