//! The service as a process, with the documented shutdown.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tower_sse::{redis::Redis, runs::Runs};

use crate::{app::Service, support::soon};

/// The URL of Redis, the milliseconds of the lease and of the shutdown's grace, and the directory
/// of the calls.
const TASK: &str = "TOWER_SSE_RUNS_PROCESS";
const TEST: &str = "process::serves_until_sigterm";

#[test]
#[ignore = "the process of the other tests"]
fn serves_until_sigterm() {
    let Ok(task) = env::var(TASK) else { return };
    let task: Vec<_> = task.split(' ').collect();
    let [url, lease, grace, calls] = task[..] else { panic!("{task:?}") };
    let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
    let (lease, grace) = (millis(lease), millis(grace));
    Runtime::new().unwrap().block_on(async {
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        let redis = Redis::open(url).unwrap().key("app").lease(lease);
        let limits = Runs::builder().max_running(100_000).max_running_per_owner(100_000);
        let runs = limits.connect(redis).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let app = Service::new(runs.clone(), PathBuf::from(calls)).app(shutdown.clone());
        // On a line of its own, after the test's name.
        println!("\nlistening {}", listener.local_addr().unwrap());
        let server =
            axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let drain = async {
            terminated.recv().await;
            shutdown.cancel();
            runs.drain(grace).await;
        };
        tokio::join!(server, drain).0.unwrap();
    });
}

pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Kept open: a process that writes to a closed pipe is killed.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) async fn start(url: &str, lease: Duration, grace: Duration, calls: &Path) -> Self {
        let task = format!("{url} {} {} {}", lease.as_millis(), grace.as_millis(), calls.display());
        let mut child = Command::new(env::current_exe().unwrap())
            .args([TEST, "--exact", "--ignored", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = soon(output.next_line()).await.unwrap().expect("the process to start");
            if let Some(address) = line.strip_prefix("listening ") {
                break address.parse().unwrap();
            }
        };
        Self { address, child, _output: output }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("a running process");
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn exited(&mut self) {
        assert!(soon(self.child.wait()).await.unwrap().success());
    }
}
