//! The example in a process of its own, called by two major versions of the official client for
//! JavaScript, and by plain requests.

use tokio::process::Command;

#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use relay::Relay;
use support::{Process, Program, exchange, free_port, node};

const PACKAGES: [&str; 2] = ["@a2a-js/sdk", "a2a-1"];
const TEXT: &str = "Each word of this answer takes the model a while.";

/// The example, and a relay in front of it, to which its card leads.
struct Agent {
    _process: Process,
    relay: Relay,
}

impl Agent {
    async fn start() -> Self {
        let port = free_port();
        let relay = Relay::to(port).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_a2a"));
        command.env("PORT", port.to_string());
        command.env("PUBLIC_URL", format!("http://{}/", relay.address));
        Self { _process: Process::serve(&mut command).await, relay }
    }

    /// Starts a client. Returns `None` if its package is not installed.
    fn start_client(&self, package: &str, action: &str, id: &str) -> Option<Program> {
        let mut command = node("tests/a2a/client.mjs", &[package])?;
        let url = format!("http://{}", self.relay.address);
        command.args([package, &url, action, id]);
        Some(Program::start(&mut command))
    }

    /// Returns what a client prints.
    async fn call(&self, package: &str, action: &str, id: &str) -> Vec<String> {
        self.start_client(package, action, id).expect("an installed client").rest().await
    }
}

/// Returns what a client prints if it reads a task without its first `skipped` words.
fn rest(skipped: usize) -> Vec<String> {
    let words = TEXT.split(' ').skip(skipped).map(|word| format!("text {word}"));
    words.chain(["status completed".to_owned()]).collect()
}

fn done() -> [String; 1] {
    [format!("task completed: {TEXT}")]
}

/// Checks that a task and the events after it are the whole answer, without a word twice.
#[track_caller]
fn assert_whole(events: &[String]) {
    let (task, mut events) = events.split_first().expect("a task");
    let (state, seen) = task.strip_prefix("task ").unwrap().split_once(':').unwrap();
    if state == "submitted" {
        assert_eq!(events[0], "status working");
        events = &events[1..];
    }
    let seen = seen.trim_start();
    assert!(TEXT.starts_with(seen), "{seen}");
    let rest = rest(seen.split_whitespace().count());
    // On a slow machine, the client may come after the end.
    assert_eq!(events, if state == "completed" { &[] } else { &*rest }, "{task}");
}

#[tokio::test]
async fn clients_stream_send_and_get_tasks() {
    let agent = Agent::start().await;
    for package in PACKAGES {
        let Some(mut client) = agent.start_client(package, "stream", package) else { return };
        assert_whole(&client.rest().await);
        for action in ["get", "resubscribe", "send"] {
            assert_eq!(agent.call(package, action, package).await, done(), "{package} {action}");
        }
        let unseen = format!("{package} unseen");
        assert_eq!(agent.call(package, "send", &unseen).await, done(), "{package}");
    }
}

#[tokio::test]
async fn resubscription_after_a_cut_loses_and_doubles_nothing() {
    let agent = Agent::start().await;
    for package in PACKAGES {
        let Some(mut client) = agent.start_client(package, "stream", package) else { return };
        client.reach("text of").await;
        agent.relay.cut();
        let mut lines = client.rest().await;
        let task = lines.iter().position(|line| line.starts_with("task ")).expect("a task");
        let events = lines.split_off(task);
        assert!(lines.iter().any(|line| line.starts_with("error ")), "{lines:?}");
        assert_whole(&events);
    }
}

#[tokio::test]
async fn message_that_is_sent_again_joins_its_task() {
    let agent = Agent::start().await;
    let Some(mut first) = agent.start_client(PACKAGES[0], "stream", "one") else { return };
    first.reach("text Each").await;
    assert_whole(&agent.call(PACKAGES[0], "stream", "one").await);
    assert_eq!(first.rest().await, rest(1));
}

#[tokio::test]
async fn cancellation_ends_all_streams_of_a_task() {
    let agent = Agent::start().await;
    for package in PACKAGES {
        let Some(mut client) = agent.start_client(package, "stop", package) else { return };
        let mut lines = client.rest().await;
        assert_eq!(lines.iter().filter(|line| *line == "status canceled").count(), 2, "{lines:?}");
        assert!(!lines.contains(&"status completed".to_owned()), "{lines:?}");
        lines.retain(|line| line.starts_with("task canceled:"));
        for action in ["get", "resubscribe", "stream"] {
            assert_eq!(agent.call(package, action, package).await, lines, "{package} {action}");
        }
    }
}

#[tokio::test]
async fn clients_read_the_errors_of_tasks() {
    let agent = Agent::start().await;
    for package in PACKAGES {
        let Some(mut client) = agent.start_client(package, "send", package) else { return };
        assert_eq!(client.rest().await, done());
        let [ended] = &*agent.call(package, "cancel", package).await else { panic!("one line") };
        assert!(
            ["Task cannot be canceled", "the task has ended"].iter().any(|it| ended.ends_with(it)),
            "{ended}"
        );
        for action in ["get", "cancel", "resubscribe"] {
            let [unknown] = &*agent.call(package, action, "unknown").await else {
                panic!("one line")
            };
            let errors = ["Task not found", "no such task", "no such task (Code: -32001) Data: {}"];
            assert!(errors.iter().any(|it| unknown.ends_with(it)), "{action}: {unknown}");
        }
    }
}

#[tokio::test]
async fn task_that_is_too_long_is_an_error_and_no_null() {
    let agent = Agent::start().await;
    // The first event has the context twice, and each other event once.
    let context = "c".repeat(300_000);
    let call = async |method: &str, params: &str| {
        let call = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
        let length = call.len();
        let head =
            "host: localhost\r\nx-user: ann\r\nconnection: close\r\ncontent-type: application/json";
        let request =
            format!("POST / HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{call}");
        exchange(agent.relay.address, &request).await
    };
    let message = format!(r#"{{"message":{{"messageId":"long","contextId":"{context}"}}}}"#);
    let error = r#""message":"the task is too long""#;
    for (method, params) in [("message/send", &*message), ("tasks/get", r#"{"id":"long"}"#)] {
        let answer = call(method, params).await;
        assert!(answer.contains(error), "{method}: {answer}");
    }
}
