//! A hub or an idle connection in another process. In the same process, connections would share
//! locks and the `-shm` file.

use std::{env, process::Stdio};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::*;

const TASK: &str = "TOWER_SSE_SQLITE_TASK";

pub(crate) struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Other {
    pub(crate) async fn hub(file: &File) -> Self {
        Self::start("hub", file).await
    }

    /// Starts a process with a connection that does nothing, like a forgotten `sqlite3` shell.
    pub(crate) async fn shell(file: &File) -> Self {
        Self::start("shell", file).await
    }

    async fn start(role: &str, file: &File) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["other::process", "--exact", "--ignored", "--nocapture"]);
        command.env(TASK, format!("{role}\n{}\n{}", file.path.display(), file.table));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut other = Self { child, input, output };
        other.reach("open").await;
        other
    }

    /// Has the process publish an event to topic `a`, again and again while it is refused.
    pub(crate) async fn publish(&mut self, data: &str) {
        self.input.write_all(format!("{data}\n").as_bytes()).await.unwrap();
        self.reach(&format!("published {data}")).await;
    }

    /// Reads the process's output up to this line, such as `received gap`.
    pub(crate) async fn reach(&mut self, line: &str) {
        let reaching =
            async { while self.output.next_line().await.unwrap().expect("a line") != line {} };
        timeout(PATIENCE, reaching).await.unwrap_or_else(|_| panic!("no line {line:?} in time"));
    }

    /// Ends the process without closing its files.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Runs in the child process, which ends when the parent test closes its input or kills it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of other tests"]
async fn process() {
    let Ok(task) = env::var(TASK) else { return };
    let [role, path, table] = task.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    if role == "shell" {
        let shell = rusqlite::Connection::open(path).unwrap();
        shell.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).unwrap();
        println!("\nopen");
        while input.next_line().await.unwrap().is_some() {}
        return;
    }
    let mut process = Process::connect(Sqlite::open(path).unwrap().broker(table)).await;
    println!("\nopen");
    let hub = process.hub.clone();
    tokio::spawn(async move {
        loop {
            let message = process.client.next().await;
            println!("received {}", if message.event == "gap" { "gap" } else { &message.data });
        }
    });
    while let Some(data) = input.next_line().await.unwrap() {
        hub_process::publish(&hub, "a", &data).await;
        println!("published {data}");
    }
}
