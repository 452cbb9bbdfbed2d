//! Processes that print lines: an example, and clients in Node. The tests of `a2a` have them, too.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::tool::{find, skip};

/// Longer than it takes until a process counts as dead, and its work is done again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that prints lines. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Starts a program that prints its address. Returns its port, too.
    pub(crate) async fn serve(command: &mut Command) -> (Self, u16) {
        let mut process = Self::start(command);
        let line = process.line().await.expect("an address");
        let address = line.strip_prefix("listening on http://127.0.0.1:").unwrap();
        let (port, _) = address.split_once('/').unwrap();
        (process, port.parse().unwrap())
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

/// Returns a command that runs a script with npm's packages. Returns `None`, and prints the reason,
/// if Node or one of these packages is missing.
pub(crate) fn node(script: &str, packages: &[&str]) -> Option<Command> {
    let mut command = Command::new(find(&["node", "nodejs"])?);
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/npm/node_modules");
    if let Some(missing) = packages.iter().find(|package| !modules.join(package).is_dir()) {
        skip(&format!("no {missing} in target/npm"));
        return None;
    }
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.env("PACKAGES", modules.canonicalize().unwrap());
    Some(command)
}
