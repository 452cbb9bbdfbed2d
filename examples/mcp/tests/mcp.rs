//! The example's guarantees, checked with rmcp's own client over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig, ContentBlock,
        ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig,
        SubscriptionFilter,
    },
    service::{RequestContext, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, streamable_http_server::StreamableHttpServerConfig,
    },
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{self, Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_sse::{MaxAge, SseLayer};

#[path = "../src/main.rs"]
#[allow(dead_code)]
mod example;

use example::{Kitchen, end_subscriptions_at_once, mcp, mcp_with, serve};

/// A client has at most 16 calls without a response head at a time.
const CALLS: usize = 12;

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

/// A server whose calls end when the test opens their gate.
#[derive(Clone)]
struct Gate {
    begun: Arc<Semaphore>,
    opened: Arc<Semaphore>,
    /// Whether a call reports progress before it waits, so that its response head is sent then.
    reports: bool,
}

impl Gate {
    fn new(reports: bool) -> Self {
        let [begun, opened] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        Self { begun, opened, reports }
    }
}

impl ServerHandler for Gate {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.reports {
            let token = context.meta.get_progress_token().expect("rmcp's client sends one");
            let progress = ProgressNotificationParam::new(token, 0.0);
            context.peer.notify_progress(progress).await.unwrap();
        }
        self.begun.add_permits(1);
        self.opened.acquire().await.unwrap().forget();
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

type Client = RunningService<RoleClient, ClientConfig>;

/// Returns the mode of the protocol's version 2026-07-28; `Initialize` opens a session, as before.
fn without_sessions() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

struct Server {
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(app: Router, shutdown: &CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, app, shutdown.clone(), 10 * PATIENCE);
        Self { address, served: tokio::spawn(async move { serving.await.unwrap() }) }
    }

    async fn connect(&self, lifecycle: ClientLifecycleMode) -> Client {
        let uri = format!("http://{}/mcp", self.address);
        let transport = StreamableHttpClientTransport::from_uri(uri);
        let client = ClientConfig::default().serve_with_lifecycle(transport, lifecycle);
        soon(client).await.unwrap()
    }
}

type Calls = JoinSet<Result<CallToolResult, ServiceError>>;

/// Makes calls, and waits until the server works on all of them.
async fn call(client: &Client, gate: &Gate) -> Calls {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let peer = client.peer().clone();
        calls.spawn(async move { peer.call_tool(CallToolRequestParams::new("any")).await });
    }
    soon(gate.begun.acquire_many(CALLS as u32)).await.unwrap().forget();
    calls
}

fn is_done(answer: &Result<CallToolResult, ServiceError>) -> bool {
    let texts = answer.as_ref().ok().map(|result| result.content.iter());
    texts
        .is_some_and(|mut texts| texts.any(|text| text.as_text().is_some_and(|t| t.text == "done")))
}

#[tokio::test]
async fn shutdown_answers_every_call_in_flight() {
    for (lifecycle, reports) in [
        (ClientLifecycleMode::Initialize, false),
        (ClientLifecycleMode::Initialize, true),
        (without_sessions(), false),
        (without_sessions(), true),
    ] {
        let (gate, shutdown) = (Gate::new(reports), CancellationToken::new());
        let layer = SseLayer::new().shutdown(shutdown.clone());
        let app = end_subscriptions_at_once(mcp(gate.clone())).layer(layer);
        let server = Server::start(app, &shutdown).await;
        let client = server.connect(lifecycle).await;
        let calls = call(&client, &gate).await;
        shutdown.cancel();
        gate.opened.add_permits(CALLS);
        let answers = soon(calls.join_all()).await;
        assert!(answers.iter().all(is_done), "{answers:?}");
        soon(server.served).await.unwrap();
    }
}

/// Shows why the example does not pass its token to rmcp.
#[tokio::test]
async fn rmcps_own_token_loses_every_call_in_flight() {
    let (gate, shutdown) = (Gate::new(true), CancellationToken::new());
    let config = StreamableHttpServerConfig::default().with_cancellation_token(shutdown.clone());
    let app = mcp_with(gate.clone(), config).layer(SseLayer::new());
    let server = Server::start(app, &shutdown).await;
    let client = server.connect(without_sessions()).await;
    let calls = call(&client, &gate).await;
    shutdown.cancel();
    gate.opened.add_permits(CALLS);
    let answers = soon(calls.join_all()).await;
    assert!(!answers.iter().any(is_done), "{answers:?}");
}

/// Shows why the example sets no maximum age. With a session, the client resumes the stream of a
/// call instead.
#[tokio::test]
async fn maximum_age_loses_calls_that_take_longer() {
    let (gate, shutdown) = (Gate::new(true), CancellationToken::new());
    let max_age = MaxAge::new(Duration::from_millis(500)).grace(Duration::ZERO);
    let app = mcp(gate.clone()).layer(SseLayer::new().max_age(max_age));
    let server = Server::start(app, &shutdown).await;
    let client = server.connect(without_sessions()).await;
    let calls = call(&client, &gate).await;
    let answers = soon(calls.join_all()).await;
    assert!(!answers.iter().any(is_done), "{answers:?}");
}

/// Shuts down a server with a subscription, and returns how long that takes.
async fn shut_down_while_subscribed(example: fn(Router) -> Router, paused: bool) -> Duration {
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = Server::start(example(mcp(Kitchen)).layer(layer), &shutdown).await;
    let client = server.connect(without_sessions()).await;
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let mut subscription = soon(client.listen(filter)).await.unwrap();
    if paused {
        time::pause();
    }
    let began = Instant::now();
    shutdown.cancel();
    let ended = subscription.next().await;
    assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    server.served.await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn subscription_ends_as_soon_as_the_shutdown_begins() {
    let took = soon(shut_down_while_subscribed(end_subscriptions_at_once, false)).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Shows why its response has its own option.
#[tokio::test]
async fn subscription_like_any_other_call_holds_the_shutdown_for_30_seconds() {
    let took = shut_down_while_subscribed(|mcp| mcp, true).await;
    assert!(took >= Duration::from_secs(30), "{took:?}");
}

#[test]
fn port_in_use_is_reported_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tower-sse-mcp"))
        .env("PORT", address.port().to_string())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("cannot listen on {address}: ")), "{stderr}");
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
}
