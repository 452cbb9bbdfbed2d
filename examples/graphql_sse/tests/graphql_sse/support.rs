//! A server in the test's process, and the official client in a process of its own.

#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

use std::path::Path;

use tokio::io::{BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::*;
use tool::{find, skip};

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("in time")
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

impl Server {
    /// Starts the example with heartbeats so frequent that each client gets some.
    pub(crate) async fn start() -> Self {
        Self::with(graphql_layer().heartbeat(Duration::from_millis(20))).await
    }

    pub(crate) async fn with(layer: SseLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, hub) = (listener.local_addr().unwrap(), Hub::new());
        let shutdown = CancellationToken::new();
        let served = serve(listener, chat::schema(hub.clone()), layer, shutdown.clone());
        Self { address, hub, shutdown, served: tokio::spawn(served) }
    }

    /// Publishes a message as the mutation does.
    pub(crate) fn publish(&self, number: usize, text: &str) {
        let message = json!({ "number": number, "text": text }).to_string();
        self.hub.publish_now("kitchen", message).unwrap();
    }

    /// Waits until the room has this number of subscribers.
    pub(crate) async fn until_subscribed(&self, count: usize) {
        let counted = async {
            while self.hub.subscriber_count("kitchen") != count {
                tokio::task::yield_now().await;
            }
        };
        soon(counted).await;
    }
}

/// The example's program in a process of its own.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) async fn start(port: u16) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tower-sse-graphql"))
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let address = line.strip_prefix("listening on http://").unwrap();
        let address = address.trim_end_matches("/graphql").parse().unwrap();
        Self { address, process, _lines: lines }
    }
}

/// Sends a signal to a process that the test has started.
pub(crate) async fn signal(process: &Child, name: &str) {
    let id = process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
}

/// The official client with one operation.
pub(crate) struct Client {
    pub(crate) process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts the client, or returns `None` if Node or the package is not there.
    pub(crate) fn start(address: SocketAddr, query: &str, attempts: u32) -> Option<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = directory.join("../../target/npm/node_modules");
        let node = find(&["node"])?;
        if !packages.join("graphql-sse").is_dir() {
            skip("no graphql-sse");
            return None;
        }
        let mut process = Command::new(node)
            .arg(directory.join("tests/graphql_sse/client.mjs"))
            .args([format!("http://{address}/graphql"), query.into(), attempts.to_string()])
            .env("PACKAGES", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Some(Self { process, stdin, lines })
    }

    /// Starts a subscription, and awaits its first update.
    pub(crate) async fn subscribe(address: SocketAddr) -> Option<Self> {
        let mut client = Self::start(address, UPDATES, 200)?;
        assert_eq!(client.next().await, json!({ "connected": "first" }));
        assert_eq!(client.next().await, reload());
        Some(client)
    }

    /// Returns the client's next report.
    pub(crate) async fn next(&mut self) -> Value {
        let line = soon(self.lines.next_line()).await.unwrap().expect("the client has failed");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) async fn dispose(&mut self) {
        self.stdin.write_all(b"dispose\n").await.unwrap();
    }
}

/// Returns all reports of an operation, up to its end.
pub(crate) async fn run(address: SocketAddr, query: &str, attempts: u32) -> Option<Vec<Value>> {
    let mut client = Client::start(address, query, attempts)?;
    let mut reports = Vec::new();
    loop {
        let report = client.next().await;
        let is_last = report["next"].is_null() && report["connected"].is_null();
        reports.push(report);
        if is_last {
            return Some(reports);
        }
    }
}

pub(crate) const UPDATES: &str = "subscription { updates(room: \"kitchen\") { ... on Message { number text } ... on Reload { room } } }";

pub(crate) fn reload() -> Value {
    json!({ "next": { "data": { "updates": { "room": "kitchen" } } } })
}

pub(crate) fn message(number: usize, text: &str) -> Value {
    json!({ "next": { "data": { "updates": { "number": number, "text": text } } } })
}
