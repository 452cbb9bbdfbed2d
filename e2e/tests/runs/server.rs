//! The service as a process, with the documented shutdown.

use std::{
    env,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    answers::Pace,
    app::Service,
    support::{client, soon},
};

/// The server's configuration: its address, the number of words, and the milliseconds between two
/// and of the shutdown's grace.
const TASK: &str = "TOWER_SSE_RUNS_SERVER";
const TEST: &str = "server::serves_until_sigterm";

#[test]
#[ignore = "the server of the tests in shutdown.rs, which start it in a process of its own"]
fn serves_until_sigterm() {
    let Ok(task) = env::var(TASK) else { return };
    let task: Vec<_> = task.split(' ').collect();
    let [address, words, gap, grace] = task[..] else { panic!("{task:?}") };
    let grace = Duration::from_millis(grace.parse().unwrap());
    let service = Service::new(Pace::new(words.parse().unwrap(), gap.parse().unwrap()), grace);
    Runtime::new().unwrap().block_on(async {
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let shutdown = CancellationToken::new();
        let app = service.app(shutdown.clone());
        // On a line of its own, after the test's name.
        println!("\nlistening {}", listener.local_addr().unwrap());
        let server =
            axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let drain = async {
            terminated.recv().await;
            shutdown.cancel();
            service.drain(grace).await;
        };
        tokio::join!(server, drain).0.unwrap();
    });
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Kept open: a process that writes to a closed pipe is killed.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, pace: Pace, grace: Duration) -> Self {
        let Pace { words, gap } = pace;
        let task = format!("{address} {words} {} {}", gap.as_millis(), grace.as_millis());
        let mut child = Command::new(env::current_exe().unwrap())
            .args([TEST, "--exact", "--ignored", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = soon(output.next_line()).await.unwrap().expect("the server to start");
            if let Some(address) = line.strip_prefix("listening ") {
                break address.parse().unwrap();
            }
        };
        Self { address, child, _output: output }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how many answers the handlers of this process have made.
    pub(crate) async fn calls(&self) -> usize {
        use http_body_util::BodyExt;
        let response = client::get(self.address, "/calls", &[]).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    /// Sends a SIGTERM.
    pub(crate) async fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn exited(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}
