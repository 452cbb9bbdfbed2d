//! cargo run --package tower-sse-mcp
//!
//! An MCP server (rmcp, streamable HTTP) at http://127.0.0.1:3000/mcp, whose shutdown answers every
//! call in flight. Press ctrl-c, or send a SIGTERM. Set `PORT` to use another port.
//!
//! - The shutdown token goes to the layer and to the server, not to rmcp: rmcp drops the calls in
//!   flight when its own token is cancelled. The layer gives them 30 seconds, and refuses new ones.
//! - `subscriptions/listen` is a call without end. Its response sets [`Drain::at_once`]; otherwise
//!   the shutdown would wait those 30 seconds for it.
//! - There is no `max_age`: it fails the calls that take longer, and clients without a session
//!   cannot resume them.
//! - There is no `retry`: rmcp's streams begin with a reconnection time of its own.

use std::{env, error::Error, process, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
    serve::ListenerExt,
};
use rmcp::{
    ServerHandler,
    handler::server::wrapper::Parameters,
    model::{ServerCapabilities, ServerConfig, SubscriptionFilter},
    schemars::{self, JsonSchema},
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_sse::{Drain, SseLayer, StreamOptions};

/// The layer gives calls 30 seconds, and 5 more to a call that is mid-event then. What is still
/// open after this belongs to clients that do not read.
const DEADLINE: Duration = Duration::from_secs(40);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}/mcp", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let app = end_subscriptions_at_once(mcp(Kitchen)).layer(layer);
    Ok(serve(listener, app, shutdown, DEADLINE).await?)
}

/// Routes `/mcp` to rmcp, with a token of its own that is never cancelled.
pub(crate) fn mcp<S: ServerHandler + Clone>(server: S) -> Router {
    mcp_with(server, StreamableHttpServerConfig::default())
}

pub(crate) fn mcp_with<S: ServerHandler + Clone>(
    server: S,
    config: StreamableHttpServerConfig,
) -> Router {
    let sessions = Arc::<LocalSessionManager>::default();
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    Router::new().nest_service("/mcp", service)
}

/// Ends every response to `subscriptions/listen` as soon as the shutdown begins.
///
/// To the layer it is like the answer to any other POST. Clients also send the method in a header,
/// and rmcp checks that it matches the body.
pub(crate) fn end_subscriptions_at_once(mcp: Router) -> Router {
    mcp.layer(middleware::from_fn(async |request: Request, next: Next| {
        let method = request.headers().get("mcp-method");
        let subscribes = method.is_some_and(|method| method == "subscriptions/listen");
        let mut response: Response = next.run(request).await;
        if subscribes {
            StreamOptions::new().drain(Drain::at_once()).merge_into(&mut response);
        }
        response
    }))
}

/// Serves until `shutdown` is cancelled, then until every stream has ended, at most until the
/// deadline.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
    deadline: Duration,
) -> std::io::Result<()> {
    // Events are small packets: Nagle's algorithm would delay each one until the client's ACK.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        served = &mut server => return served,
        () = shutdown.cancelled() => {}
    }
    timeout(deadline, server).await.unwrap_or_else(|_| {
        eprintln!("the deadline of the shutdown has passed");
        Ok(())
    })
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => _ = terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending();
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    println!("shutting down");
    shutdown.cancel();
}

/// A server with one slow tool.
#[derive(Clone)]
pub(crate) struct Kitchen;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct Order {
    /// The dish to boil.
    dish: String,
    /// The time that it takes, in seconds.
    seconds: u8,
}

#[tool_router]
impl Kitchen {
    /// Boils a dish, and returns it when it is done.
    #[tool]
    async fn boil(&self, Parameters(Order { dish, seconds }): Parameters<Order>) -> String {
        sleep(Duration::from_secs(seconds.into())).await;
        format!("{dish}, boiled for {seconds} s")
    }
}

#[tool_handler]
impl ServerHandler for Kitchen {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools();
        ServerConfig::new(capabilities.enable_tool_list_changed().build())
    }

    /// rmcp omits from it what `get_info` does not offer.
    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }
}
