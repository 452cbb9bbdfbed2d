//! Servers, in the test's process or as the program, and the official client in a process of its
//! own.

use crate::*;

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
        let ((listener, address), hub) = (listen().await, Hub::new());
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

/// Starts the example's program.
pub(crate) async fn start_program(port: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tower-sse-graphql"));
    Process::serve(command.env("PORT", port.to_string())).await
}

/// The official client with one operation.
pub(crate) struct Client(pub(crate) Program);

impl Client {
    /// Starts the client, or returns `None` if Node or the package is not there.
    pub(crate) fn start(address: SocketAddr, query: &str, attempts: u32) -> Option<Self> {
        let mut command = node("tests/graphql_sse/client.mjs", &["graphql-sse"])?;
        let url = format!("http://{address}/graphql");
        Some(Self(Program::start(command.args([&url, query, &attempts.to_string()]))))
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
        let line = self.0.line().await.expect("the client has failed");
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) async fn dispose(&mut self) {
        self.0.write("dispose").await;
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
