//! What the guide's page `mcp` says, for the example and for other programs, checked mostly with
//! rmcp's own client over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::{Router, response::IntoResponse, response::Response};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig};
use rmcp::model::{ContentBlock, ProgressNotificationParam, ProtocolVersion, ServerCapabilities};
use rmcp::model::{ServerConfig, SubscriptionFilter};
use rmcp::service::{RequestContext, RunningService, ServiceError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{
    StreamableHttpClientTransport, StreamableHttpServerConfig, StreamableHttpService,
};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient, RoleServer, ServerHandler,
};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower_sse::filter::{self, FilterLayer, Verdict};
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{Drain, MaxAge, SseLayer, StreamOptions};

mod slow_tools;

#[path = "../../src/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use example::{Kitchen, early_head, mcp, serving::serve};
use support::{PATIENCE, Process, Proxy, exchange, find, find_nginx, listen, soon, target, until};

/// A client has at most 16 calls without a response head at a time.
const CALLS: usize = 12;

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

/// Returns the mode of the protocol's version 2026-07-28, which has no sessions. The mode
/// `Initialize` opens one.
fn without_sessions() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

struct Server {
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(app: Router, shutdown: &CancellationToken) -> Self {
        let (listener, address) = listen().await;
        let serving = serve(listener, app, shutdown.clone(), 10 * PATIENCE);
        Self { address, served: tokio::spawn(async move { serving.await.unwrap() }) }
    }
}

async fn connect(address: SocketAddr, lifecycle: ClientLifecycleMode) -> Client {
    let transport = StreamableHttpClientTransport::from_uri(format!("http://{address}/mcp"));
    let client = ClientConfig::default().serve_with_lifecycle(transport, lifecycle);
    soon(client).await.unwrap()
}

type Calls = JoinSet<Result<CallToolResult, ServiceError>>;

/// Makes calls to `app` and waits until it works on all of them.
async fn call(
    app: Router,
    gate: &Gate,
    shutdown: &CancellationToken,
    lifecycle: ClientLifecycleMode,
) -> (Server, Client, Calls) {
    let server = Server::start(app, shutdown).await;
    let client = connect(server.address, lifecycle).await;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let peer = client.peer().clone();
        calls.spawn(async move { peer.call_tool(CallToolRequestParams::new("any")).await });
    }
    soon(gate.begun.acquire_many(CALLS as u32)).await.unwrap().forget();
    (server, client, calls)
}

/// Opens the gate, and returns the texts of the answers, or "failed".
async fn answers(calls: Calls, gate: &Gate) -> Vec<String> {
    gate.opened.add_permits(CALLS);
    let text = |answer: Result<CallToolResult, ServiceError>| match answer {
        Ok(result) => result.content.iter().map(|it| it.as_text().unwrap().text.clone()).collect(),
        Err(_) => "failed".to_owned(),
    };
    soon(calls.join_all()).await.into_iter().map(text).collect()
}

#[tokio::test]
async fn shutdown_answers_every_call_in_flight() {
    for (lifecycle, reports, head_after) in [
        (ClientLifecycleMode::Initialize, false, Duration::MAX),
        (ClientLifecycleMode::Initialize, true, Duration::MAX),
        (ClientLifecycleMode::Initialize, false, Duration::ZERO),
        (without_sessions(), false, Duration::MAX),
        (without_sessions(), true, Duration::MAX),
        (without_sessions(), false, Duration::ZERO),
    ] {
        let (gate, shutdown) = (Gate::new(reports), CancellationToken::new());
        let layer = SseLayer::new().shutdown(shutdown.clone());
        let app = mcp(gate.clone()).layer(early_head(head_after)).layer(layer);
        let (server, _client, calls) = call(app, &gate, &shutdown, lifecycle).await;
        shutdown.cancel();
        assert_eq!(answers(calls, &gate).await, ["done"; CALLS]);
        soon(server.served).await.unwrap();
    }
}

/// Shows why the example does not pass its token to rmcp.
#[tokio::test]
async fn rmcps_own_token_loses_every_call_in_flight() {
    let (gate, shutdown) = (Gate::new(true), CancellationToken::new());
    let config = StreamableHttpServerConfig::default().with_cancellation_token(shutdown.clone());
    let sessions = Arc::<LocalSessionManager>::default();
    let handler = gate.clone();
    let service = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
    let app = Router::new().nest_service("/mcp", service).layer(SseLayer::new());
    let (_server, _client, calls) = call(app, &gate, &shutdown, without_sessions()).await;
    shutdown.cancel();
    assert_eq!(answers(calls, &gate).await, ["failed"; CALLS]);
}

/// Shows why the example sets no maximum age. With a session, the client resumes the stream of a
/// call instead.
#[tokio::test]
async fn maximum_age_loses_calls_that_take_longer() {
    let (gate, shutdown) = (Gate::new(true), CancellationToken::new());
    let max_age = MaxAge::new(Duration::from_millis(500)).grace(Duration::ZERO);
    let app = mcp(gate.clone()).layer(SseLayer::new().max_age(max_age));
    let (_server, _client, mut calls) = call(app, &gate, &shutdown, without_sessions()).await;
    while let Some(answer) = soon(calls.join_next()).await {
        answer.unwrap().unwrap_err();
    }
}

/// A server with subscriptions.
#[derive(Clone)]
struct Subscribed;

impl ServerHandler for Subscribed {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools();
        ServerConfig::new(capabilities.enable_tool_list_changed().build())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }
}

async fn end_subscriptions_at_once(request: Request, next: Next) -> Response {
    let method = request.headers().get("mcp-method");
    let subscribes = method.is_some_and(|method| method == "subscriptions/listen");
    let mut response = next.run(request).await;
    if subscribes {
        StreamOptions::new().drain(Drain::at_once()).merge_into(&mut response);
    }
    response
}

/// Shuts down a server with a subscription and returns how long that takes.
async fn shut_down_while_subscribed(example: fn(Router) -> Router, paused: bool) -> Duration {
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = Server::start(example(mcp(Subscribed)).layer(layer), &shutdown).await;
    let client = connect(server.address, without_sessions()).await;
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
    let with_option = |mcp: Router| mcp.layer(middleware::from_fn(end_subscriptions_at_once));
    let took = soon(shut_down_while_subscribed(with_option, false)).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Shows why the response of a subscription has its own option.
#[tokio::test]
async fn subscription_like_any_other_call_holds_the_shutdown_for_30_seconds() {
    let took = shut_down_while_subscribed(|mcp| mcp, true).await;
    assert!(took >= Duration::from_secs(30), "{took:?}");
}

/// Returns the status of a request with these headers, which a browser would send.
async fn status(server: &Server, headers: &str) -> u16 {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let length = call.len();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
        accept: application/json, text/event-stream\r\ncontent-length: {length}\r\n{headers}\r\n{call}"
    );
    exchange(server.address, &request).await[9..12].parse().unwrap()
}

#[tokio::test]
async fn page_of_another_origin_reaches_no_tool() {
    let server = Server::start(mcp(Subscribed), &CancellationToken::new()).await;
    let own = format!("host: {}\r\n", server.address);
    let foreign = format!("{own}origin: https://example.com\r\n");
    assert_eq!(status(&server, &foreign).await, 403);
    assert_eq!(status(&server, "host: example.com\r\n").await, 403, "DNS rebinding");
    // rmcp answers 400, because the session's id is missing.
    assert_eq!(status(&server, &own).await, 400);
}

/// The tokens of one user.
#[derive(Clone, Default)]
struct Tokens {
    revoked: CancellationToken,
}

impl Tokens {
    fn user_of(&self, _: &HeaderMap) -> Option<u64> {
        (!self.revoked.is_cancelled()).then_some(42)
    }
}

async fn check(
    State(tokens): State<Tokens>,
    subjects: Subjects,
    request: Request,
    next: Next,
) -> Response {
    let Some(user) = tokens.user_of(request.headers()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    subjects.add(format!("user:{user}"));
    next.run(request).await
}

#[tokio::test]
async fn log_out_ends_the_calls_of_a_user_and_refuses_new_ones() {
    for (lifecycle, has_session) in
        [(ClientLifecycleMode::Initialize, true), (without_sessions(), false)]
    {
        let (gate, streams, tokens) = (Gate::new(true), Streams::new(), Tokens::default());
        let check = middleware::from_fn_with_state(tokens.clone(), check);
        let layer = SseLayer::new().streams(&streams);
        let app = mcp(gate.clone()).layer(check).layer(layer);
        let shutdown = CancellationToken::new();
        let (server, _client, calls) = call(app, &gate, &shutdown, lifecycle).await;
        until(|| streams.count("user:42") >= CALLS).await;
        tokens.revoked.cancel();
        assert!(streams.close("user:42").await.unwrap() >= CALLS);
        assert_eq!(streams.count("user:42"), 0);
        // A client with a session tries to resume its calls, in vain.
        if !has_session {
            assert_eq!(answers(calls, &gate).await, ["failed"; CALLS]);
        }
        assert_eq!(status(&server, &format!("host: {}\r\n", server.address)).await, 401);
    }
}

const PAGE: &str = include_str!("../../../../docs/guide/mcp.md");

#[test]
fn page_shows_the_middleware_that_is_tested() {
    for name in ["end_subscriptions_at_once", "check"] {
        let (_, from) = include_str!("main.rs").split_once(&format!("async fn {name}(")).unwrap();
        let (code, _) = from.split_once("\n}\n").unwrap();
        assert!(PAGE.contains(&format!("\nasync fn {name}({code}\n}}\n```")), "{name}");
    }
}

#[tokio::test]
async fn clients_read_what_a_filter_has_changed() {
    for lifecycle in [ClientLifecycleMode::Initialize, without_sessions()] {
        let (gate, shutdown) = (Gate::new(true), CancellationToken::new());
        let filters = FilterLayer::new(|_: &Request| {
            Some(filter::from_fn(|event| {
                let data = event.data();
                Verdict::Replace(event.with_data(data.replace(r#""done""#, r#""redacted""#)))
            }))
        });
        let app = mcp(gate.clone()).layer(filters).layer(SseLayer::new());
        let (server, _client, calls) = call(app, &gate, &shutdown, lifecycle).await;
        assert_eq!(answers(calls, &gate).await, ["redacted"; CALLS]);
        server.served.abort();
    }
}
