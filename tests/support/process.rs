//! Programs in processes of their own, and servers among them.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio, exit};
use std::{env, io::Read, net::SocketAddr, thread};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::patience::{PATIENCE, soon};
use super::tool::{find, package, target};

/// A program that prints lines. Dropping a `Program` kills the process.
pub struct Program {
    child: Child,
    /// Closed when the `Program` is dropped or this process dies, so that the program can exit
    /// then.
    input: ChildStdin,
    /// `None` once `output` has returned it. Kept open, because a process that writes to a closed
    /// pipe is killed.
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // The input is taken out of the child, because the child's `wait` would close it.
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output: Some(output) }
    }

    pub async fn line(&mut self) -> Option<String> {
        let line = self.output.as_mut().expect("nobody else reads").next_line();
        // This is long enough for another process to take over the work of a process that counts as
        // dead.
        timeout(2 * PATIENCE, line).await.expect("a line in time").unwrap()
    }

    pub async fn reach(&mut self, line: &str) {
        while self.line().await.unwrap_or_else(|| panic!("no line {line}")).trim_end() != line {}
    }

    /// Reads the output up to a line that begins with `label`, and returns the address after the
    /// label.
    pub async fn address(&mut self, label: &str) -> SocketAddr {
        self.find_address(label).await.unwrap_or_else(|| panic!("no line {label}"))
    }

    async fn find_address(&mut self, label: &str) -> Option<SocketAddr> {
        loop {
            if let Some(address) = self.line().await?.strip_prefix(label) {
                return Some(address.split(['/', ',']).next()?.parse().unwrap());
            }
        }
    }

    pub async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    /// Returns the lines that the program prints from now on. The caller has to read all of them.
    pub fn output(&mut self) -> Lines<BufReader<ChildStdout>> {
        self.output.take().expect("the first call")
    }

    pub async fn write(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    pub fn signal(&self, name: &str) {
        let kill =
            process::Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Kills the process as a crash does, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn has_exited(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub async fn exited(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}

/// The packages to build before [`example_program`] can find their examples.
const PACKAGES: [&str; 4] =
    ["tower-sse", "tower-sse-assistant", "tower-sse-redis", "tower-sse-tonic"];

/// Returns the path of an example. `cargo test` builds an example with all tests of the example's
/// package, so it is missing if only another package or a single test was selected.
pub fn example_program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap();
    // Where Cargo puts examples, and the programs of an example that is a package.
    let mut places = [directory.join("examples"), directory.to_owned()]
        .map(|place| place.join(name).with_extension(env::consts::EXE_EXTENSION))
        .into_iter();
    places.find(|program| program.exists()).unwrap_or_else(|| {
        let packages = PACKAGES.map(|name| format!("--package {name} ")).concat();
        panic!("first run: cargo build {packages}--bins --examples --all-features")
    })
}

/// Returns a command that runs a script of this package with these packages of npm. Returns `None`,
/// and prints the reason, if Node or a package is missing.
pub fn node(script: &str, packages: &[&str]) -> Option<Command> {
    let mut command = Command::new(find(&["node", "nodejs"])?);
    for name in packages {
        package(name)?;
    }
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.env("PACKAGES", target("npm/node_modules"));
    Some(command)
}

pub struct Process {
    pub address: SocketAddr,
    program: Program,
}

/// The environment variable with the task of a test that runs as a process of its own.
const TASK: &str = "TOWER_SSE_TEST_TASK";

impl Process {
    /// Starts a program, and waits until it prints the address at which it listens.
    pub async fn serve(command: &mut Command) -> Self {
        let started = Self::serve_or_end(command).await;
        started.unwrap_or_else(|| panic!("{command:?} ends before it listens"))
    }

    /// Returns `None` if the program ends before it listens.
    pub async fn serve_or_end(command: &mut Command) -> Option<Self> {
        let mut program = Program::start(command);
        let address = program.find_address("listening on http://").await?;
        Some(Self { address, program })
    }

    /// Runs an ignored test of this program in a new process, and waits until it
    /// [listens](Self::announce).
    pub async fn start(test: &str, task: impl AsRef<str>) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored", "--nocapture"]).env(TASK, task.as_ref());
        Self::serve(&mut command).await
    }

    /// Returns the task of this process, or `None` if no test has started it.
    pub fn task() -> Option<String> {
        env::var(TASK).ok()
    }

    /// Reports the address of this process, and exits when the process that started it is gone.
    pub fn announce(address: SocketAddr) {
        // The first line break puts the address on a line of its own, after the test's name.
        println!("\nlistening on http://{address}");
        thread::spawn(|| {
            _ = std::io::stdin().read(&mut [0]);
            exit(0);
        });
    }
}

impl Deref for Process {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}
