//! A server process, observed from outside.

use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

use super::server::TASK;
use crate::support::soon;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    child: Child,
    output: JoinHandle<Output>,
}

/// The output of the process.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The time from the signal to the end of its `main`, as the process reports it.
    pub(super) exit: Option<Duration>,
    /// The close reasons by the numbers of the streams.
    pub(super) closed: HashMap<usize, String>,
}

impl Server {
    pub(super) async fn start(host: &str, deadline: Duration) -> Self {
        let task = format!("{host} {}", deadline.as_millis());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["process::server::serves_until_sigterm", "--exact", "--ignored", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (listens, address) = oneshot::channel();
        // Read continuously, or the process would wait for a reader.
        let output = tokio::spawn(async move {
            let (mut output, mut listens) = (Output::default(), Some(listens));
            while let Some(line) = lines.next_line().await.unwrap() {
                let words: Vec<_> = line.split(' ').collect();
                match words[..] {
                    ["listening", address] => {
                        listens.take().unwrap().send(address.parse().unwrap()).unwrap();
                    }
                    ["closed", number, reason] => {
                        let previous =
                            output.closed.insert(number.parse().unwrap(), reason.to_owned());
                        assert_eq!(previous, None, "stream {number} has two close reports");
                    }
                    ["exits", milliseconds] => {
                        output.exit = Some(Duration::from_millis(milliseconds.parse().unwrap()));
                    }
                    _ => {}
                }
            }
            output
        });
        Self { address: soon(address).await.unwrap(), child, output }
    }

    /// Sends a SIGTERM.
    pub(super) async fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    pub(super) async fn exited(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Returns everything that the process printed before it exited.
    pub(super) async fn output(mut self) -> Output {
        assert!(soon(self.exited()).await.success());
        soon(self.output).await.unwrap()
    }
}
