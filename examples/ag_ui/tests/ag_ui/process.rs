//! The processes of these tests: the example, Redis, and a client in Node.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::patience::until_async;
use crate::port::free_port;
use crate::tool::{find, skip};

/// Longer than it takes until a process counts as dead, and its work is done again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that prints lines. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns the next line, or `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap()
    }

    /// Skips the lines before this one.
    pub(crate) async fn reach(&mut self, line: &str) {
        while self.line().await.unwrap_or_else(|| panic!("no line {line}")).trim_end() != line {}
    }

    /// Kills the process as a crash does. Returns the lines that it has printed.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        self.rest().await
    }

    /// Returns the lines up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

/// A process of the example, and its address.
pub(crate) struct Example {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Example {
    pub(crate) async fn start(redis: Option<&Redis>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ag_ui"));
        command.env("PORT", "0").env_remove("REDIS_URL");
        command
            .envs(redis.map(|redis| ("REDIS_URL", format!("redis://127.0.0.1:{}/", redis.port))));
        let mut process = Process::start(&mut command);
        let line = process.line().await.expect("an address");
        let port = line.strip_prefix("listening on http://127.0.0.1:").unwrap();
        let port = port.strip_suffix("/agent").unwrap().parse().unwrap();
        Self { process, port }
    }
}

/// A Redis server that keeps nothing. Dropping it kills it.
pub(crate) struct Redis {
    _child: Child,
    port: u16,
}

impl Redis {
    /// Returns `None`, and prints the reason, if `redis-server` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let port = free_port();
        let mut command = Command::new(find(&["redis-server"])?);
        command.args(["--bind", "127.0.0.1", "--appendonly", "no", "--save", "", "--port"]);
        let child = command.arg(port.to_string()).stdout(Stdio::null()).kill_on_drop(true).spawn();
        until_async(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Some(Self { _child: child.unwrap(), port })
    }
}

/// The official client. Returns `None`, and prints the reason, if it is not installed.
pub(crate) fn find_client() -> Option<Client> {
    let node = find(&["node", "nodejs"])?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/npm/node_modules");
    if !target.join("@ag-ui/client").is_dir() {
        skip("no @ag-ui/client in target/npm");
        return None;
    }
    Some(Client { node, packages: target.canonicalize().unwrap() })
}

pub(crate) struct Client {
    node: PathBuf,
    packages: PathBuf,
}

impl Client {
    /// Asks the example on these ports in turn.
    pub(crate) fn ask(&self, user: &str, run: &str, ports: &[u16]) -> Process {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ag_ui/client.mjs");
        let mut command = Command::new(&self.node);
        command.args([script, user, run]).env("PACKAGES", &self.packages);
        command.args(ports.iter().map(|port| format!("http://127.0.0.1:{port}/agent")));
        Process::start(&mut command)
    }
}
