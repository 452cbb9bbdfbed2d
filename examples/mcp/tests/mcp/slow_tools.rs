//! Tools that take longer than nginx waits for the head of their answers.

use std::{path::Path, process::Stdio};

use axum::http::request::Parts;
use rmcp::model::ErrorCode;
use serde_json::{Value, json};
use tokio::process::Command;
use tower_sse::early_head::EarlyHeadLayer;

use crate::*;

/// The seconds that a tool takes. nginx waits for a third of this time.
const SLOW: u64 = 6;
/// Older versions of nginx speak HTTP/1.0 by default, over which a client can't see that a body
/// fails.
const SETTINGS: [&str; 2] = ["", "proxy_http_version 1.1;"];

/// Starts an nginx in front of a server. nginx passes the client's `Host` on, because rmcp refuses
/// hosts that it does not know.
async fn proxy(server: SocketAddr, settings: &str) -> Option<Proxy> {
    let settings = format!("proxy_set_header Host $http_host; {settings}");
    Some(Proxy::nginx(&find_nginx()?, &format!("server {server};"), &settings).await)
}

/// Starts a server with heartbeats behind an nginx that waits for 2 seconds.
async fn start(app: Router, settings: &str) -> Option<(Proxy, Server)> {
    let app = app.layer(SseLayer::new().heartbeat(Duration::from_millis(500)));
    let server = Server::start(app, &CancellationToken::new()).await;
    let settings = format!("proxy_read_timeout 2s; {settings}");
    Some((proxy(server.address, &settings).await?, server))
}

fn early(app: Router) -> Router {
    app.layer(early_head(Duration::from_secs(1)))
}

/// Returns the text of the dish, or the error of the call.
async fn boil(
    address: SocketAddr,
    lifecycle: ClientLifecycleMode,
    seconds: u64,
) -> Result<String, ServiceError> {
    let client = connect(address, lifecycle).await;
    let arguments = json!({ "dish": "an egg", "seconds": seconds });
    let Value::Object(arguments) = arguments else { unreachable!() };
    let call = CallToolRequestParams::new("boil").with_arguments(arguments);
    let result = client.peer().call_tool(call).await?;
    Ok(result.content[0].as_text().unwrap().text.clone())
}

fn lifecycles() -> [ClientLifecycleMode; 2] {
    [ClientLifecycleMode::Initialize, without_sessions()]
}

/// Shows why the example has an `EarlyHeadLayer`.
#[tokio::test]
async fn slow_tool_without_an_early_head_gets_a_504() {
    let Some((nginx, _server)) = start(mcp(Kitchen), "").await else { return };
    let error = soon(boil(nginx.address, without_sessions(), SLOW)).await.unwrap_err();
    assert!(format!("{error:?}").contains("504"), "{error:?}");
}

/// A server that reports late that its tool does not exist.
#[derive(Clone)]
struct Missing;

impl ServerHandler for Missing {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        time::sleep(Duration::from_secs(3)).await;
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "no such tool", None))
    }
}

/// rmcp sends this error as JSON. A client without a session gets it with status 404.
#[tokio::test]
async fn late_error_fails_the_call_with_its_code() {
    let Some((nginx, _server)) = start(early(mcp(Missing)), "").await else { return };
    for lifecycle in lifecycles() {
        let error = soon(boil(nginx.address, lifecycle, SLOW)).await.unwrap_err();
        let ServiceError::McpError(error) = error else { panic!("{error:?}") };
        assert_eq!((error.code, &*error.message), (ErrorCode::METHOD_NOT_FOUND, "no such tool"));
    }
}

#[tokio::test]
async fn late_json_answers_the_call() {
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let sessions = Arc::<LocalSessionManager>::default();
    let service = StreamableHttpService::new(|| Ok(Kitchen), sessions, config);
    let app = Router::new().nest_service("/mcp", service);
    let Some((nginx, _server)) = start(early(app), "").await else { return };
    let answer = soon(boil(nginx.address, without_sessions(), SLOW)).await.unwrap();
    assert_eq!(answer, "an egg, boiled for 6 s");
}

/// The official clients in other languages. Each script's first argument chooses between a package
/// or mode with sessions, and one of MCP version 2026-07-28.
const OFFICIAL: [(&str, &str); 4] = [
    ("client.mjs", "@modelcontextprotocol/sdk"),
    ("client.mjs", "@modelcontextprotocol/client"),
    ("client.py", "legacy"),
    ("client.py", "2026-07-28"),
];

/// Returns what an official client prints: the text of the dish, or its error.
async fn boil_by((script, version): (&str, &str), address: SocketAddr, seconds: u64) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = if script.ends_with(".py") { "python3" } else { "node" };
    let output = Command::new(find(&[program]).expect("its interpreter"))
        .arg(directory.join("tests/mcp").join(script))
        .args([version.to_owned(), format!("http://{address}/mcp"), seconds.to_string()])
        .env("PACKAGES", target("npm-runs/node_modules"))
        .env("PYTHONPATH", target("python-runs"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    String::from_utf8(output.await.unwrap().stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
#[ignore = "of .ci/slow early-head"]
async fn slow_tool_answers_official_clients_behind_nginx() {
    for settings in SETTINGS {
        let Some((nginx, _server)) = start(early(mcp(Kitchen)), settings).await else { return };
        let (missing, _missing) = start(early(mcp(Missing)), settings).await.unwrap();
        for client in OFFICIAL {
            let answer = boil_by(client, nginx.address, SLOW).await;
            assert_eq!(answer, "an egg, boiled for 6 s", "{client:?} {settings}");
            let error = boil_by(client, missing.address, SLOW).await;
            assert!(error.contains("no such tool"), "{client:?} {settings}: {error}");
        }
    }
}

/// Shows why the example makes an event of late JSON.
#[tokio::test]
#[ignore = "of .ci/slow early-head"]
async fn client_in_typescript_does_not_notice_that_a_body_failed() {
    let calls =
        |request: &Parts| request.headers.get("mcp-method").is_some_and(|it| it == "tools/call");
    let failing = EarlyHeadLayer::new(Duration::from_secs(1)).when(calls);
    let app = mcp(Missing).layer(failing);
    let Some((nginx, _server)) = start(app, "proxy_http_version 1.1;").await else { return };
    let error = boil_by(OFFICIAL[1], nginx.address, SLOW).await;
    assert!(error.contains("timed out"), "{error}");
}

#[tokio::test]
#[ignore = "of .ci/slow early-head"]
async fn tool_of_70_seconds_answers_behind_nginx_with_its_defaults() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tower-sse-mcp"));
    let program = Process::serve(program.env("PORT", "0")).await;
    let Some(nginx) = proxy(program.address, "").await else { return };
    let bare = Server::start(mcp(Kitchen).layer(SseLayer::new()), &CancellationToken::new()).await;
    let bare_nginx = proxy(bare.address, "").await.unwrap();
    let [session, none] = lifecycles().map(|lifecycle| boil(nginx.address, lifecycle, 70));
    let official = OFFICIAL.map(|client| boil_by(client, nginx.address, 70));
    let official = official.into_iter().collect::<JoinSet<_>>().join_all();
    let without = boil(bare_nginx.address, without_sessions(), 70);
    let answers = async { tokio::join!(session, none, official, without) };
    let (session, none, official, without) =
        timeout(Duration::from_secs(120), answers).await.expect("in time");
    for answer in official.into_iter().chain([session.unwrap(), none.unwrap()]) {
        assert_eq!(answer, "an egg, boiled for 70 s");
    }
    let error = without.unwrap_err();
    assert!(format!("{error:?}").contains("504"), "{error:?}");
}
