//! A server in a process of its own, which is a test of the same program.

use std::process::{ExitStatus, Stdio, exit};
use std::{env, io::Read};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{soon, *};

/// The variable with the process' task.
const TASK: &str = "TOWER_SSE_TEST_TASK";

/// A process that serves. Dropping it kills it.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    /// Open while this process lives, which the other sees by it.
    _input: ChildStdin,
    /// Open, as a process that writes to a closed pipe is killed.
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    /// Runs an ignored test of this program in a new process, and waits until it
    /// [listens](Self::announce).
    pub async fn start(test: &str, task: impl AsRef<str>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(TASK, task.as_ref())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Taken, because the child's `wait` would close it.
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = soon(output.next_line()).await.unwrap().expect("the process to listen");
            if let Some(address) = line.strip_prefix("listening ") {
                break address.parse().unwrap();
            }
        };
        Self { address, child, _input: input, output: Some(output) }
    }

    /// Returns the task of this process, or `None` if no test has started it.
    pub fn task() -> Option<String> {
        env::var(TASK).ok()
    }

    /// Reports the address of this process, and exits when the process that started it is gone.
    pub fn announce(address: SocketAddr) {
        // On a line of its own, after the test's name.
        println!("\nlistening {address}");
        thread::spawn(|| {
            _ = std::io::stdin().read(&mut [0]);
            exit(0);
        });
    }

    /// Returns the lines that the process prints from now on. The caller has to read all of them.
    pub fn output(&mut self) -> Lines<BufReader<ChildStdout>> {
        self.output.take().expect("the first call")
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends a SIGTERM.
    pub async fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn exited(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}
