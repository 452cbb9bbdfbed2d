//! cargo run --package tower-sse-mcp
//!
//! An MCP server at http://127.0.0.1:3000/mcp, whose shutdown answers the calls in progress. Press
//! ctrl-c, or send a SIGTERM. Set `PORT` to use another port.

pub(crate) mod serving;

use std::{env, io, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{Response, header::CONTENT_TYPE, request::Parts},
};
use rmcp::{
    ServerHandler,
    handler::server::wrapper::Parameters,
    schemars::{self, JsonSchema},
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{Event, SseLayer, early_head::EarlyHeadLayer};

use self::serving::serve;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}/mcp", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    // `serve` has the deadline.
    tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    // The token stops the layer and the server. Don't pass it to rmcp, which would drop the calls
    // in progress.
    let sse = SseLayer::new().shutdown(shutdown.clone());
    let app = mcp(Kitchen).layer(early_head(Duration::from_secs(10))).layer(sse);
    serve(listener, app, shutdown, Duration::from_secs(40)).await
}

pub(crate) fn mcp<S: ServerHandler + Clone>(server: S) -> Router {
    let config = StreamableHttpServerConfig::default().enforce_origin_validation();
    let sessions = LocalSessionManager::default().into();
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    Router::new().nest_service("/mcp", service)
}

/// Sends the response heads of slow tools early, before a proxy times out.
pub(crate) fn early_head(after: Duration) -> EarlyHeadLayer {
    EarlyHeadLayer::new(after).when(calls_a_tool).late_event(json_event)
}

/// Clients of MCP version 2026-07-28 send the method's name in a header. Clients of earlier
/// versions send a session id. Return `false` for `initialize`: the head of its response must carry
/// the session id.
fn calls_a_tool(request: &Parts) -> bool {
    match request.headers.get("mcp-method") {
        Some(method) => method == "tools/call",
        None => request.headers.contains_key("mcp-session-id"),
    }
}

/// rmcp answers some errors with plain JSON. After an early head, such a body would fail, so the
/// same JSON is sent as an event, without the HTTP status.
fn json_event(late: &Response<Bytes>) -> Option<Event> {
    let content_type = late.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let json = content_type.starts_with("application/json").then_some(late.body())?;
    Some(Event::from(String::from_utf8(json.to_vec()).ok()?))
}

/// A server with one slow tool.
#[derive(Clone)]
pub(crate) struct Kitchen;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Order {
    dish: String,
    seconds: u8,
}

#[tool_router(server_handler)]
impl Kitchen {
    /// Boils a dish, and returns it when it is done.
    #[tool]
    async fn boil(&self, Parameters(Order { dish, seconds }): Parameters<Order>) -> String {
        sleep(Duration::from_secs(seconds.into())).await;
        format!("{dish}, boiled for {seconds} s")
    }
}
