use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

use axum::{
    Extension, Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tower_sse::{
    Event, LastEventId, SseLayer,
    hub::{Hub, PublishError},
    redis::Redis,
};

/// The variable that names the Redis for the process below.
const REDIS: &str = "TOWER_SSE_STORM_REDIS";

/// A server in a process of its own. Dropping it kills it.
pub(super) struct ChildProcess {
    child: Child,
    address: SocketAddr,
    /// Open, as the process ends if it cannot write.
    _output: BufReader<ChildStdout>,
}

impl ChildProcess {
    pub(super) fn start(redis: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["storm::process::serve", "--exact", "--ignored", "--nocapture"])
            .env(REDIS, redis)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines();
        let address =
            lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        let address = address.expect("a process that listens");
        Self { child, address, _output: output }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "is a process of the storm"]
async fn serve() {
    let Ok(redis) = env::var(REDIS) else { return };
    let hub = Hub::connect(Redis::open(redis).unwrap()).await.unwrap();
    let app = Router::new()
        .route("/events/{topics}", get(events))
        .route("/publish/{topic}", post(publish))
        .layer(SseLayer::new())
        .with_state(hub);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nlistening on {}", listener.local_addr().unwrap());
    // The storm that has started it keeps the other end open.
    std::thread::spawn(|| {
        _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    axum::serve(listener, app).await.unwrap();
}

async fn events(
    State(hub): State<Hub>,
    Path(topics): Path<String>,
    last: Option<Extension<LastEventId>>,
) -> impl IntoResponse {
    let greeting = Event::new().event("hello").data("");
    let last = last.map(|Extension(last)| last);
    tower_sse::response(hub.subscribe(topics.split(',')).greeting(greeting).resume(last))
}

async fn publish(State(hub): State<Hub>, Path(topic): Path<String>, data: String) -> String {
    match hub.publish(topic, data).await {
        Ok(receipt) => receipt.id().to_string(),
        Err(PublishError::Refused(_)) => "refused".to_owned(),
        Err(PublishError::Unknown(_)) => "unknown".to_owned(),
        Err(error) => panic!("{error:?}"),
    }
}
