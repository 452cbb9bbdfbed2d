//! The example in processes of its own, with npm's official client.

#![cfg(unix)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

#[path = "../../../../tests/support/patience.rs"]
#[allow(dead_code, unreachable_pub)]
mod patience;
#[path = "../../../../tests/support/port.rs"]
#[allow(unreachable_pub)]
mod port;
mod process;
mod redis;
#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

use patience::soon;
use process::{Process, node};
use redis::Redis;
use relay::Relay;

const RUN: &str = "run";

/// A process of the example.
struct Example {
    process: Process,
    port: u16,
}

impl Example {
    async fn start(redis: Option<&Redis>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ag_ui"));
        command.env("PORT", "0").env_remove("REDIS_URL");
        command.envs(redis.map(|redis| ("REDIS_URL", redis.url())));
        let (process, port) = Process::serve(&mut command).await;
        Self { process, port }
    }
}

/// Returns the official client, which asks on these ports in turn, or `None` if it is not installed.
fn client(user: &str, ports: &[u16]) -> Option<Command> {
    let mut command = node("tests/ag_ui/client.mjs", &["@ag-ui/client"])?;
    command.args([user, RUN]);
    command.args(ports.iter().map(|port| format!("http://127.0.0.1:{port}/agent")));
    Some(command)
}

fn ask(user: &str, ports: &[u16]) -> Option<Process> {
    Some(Process::start(&mut client(user, ports)?))
}

/// Returns the messages of a client that has seen `parts` parts of the answer.
fn messages(parts: usize) -> String {
    let answer = (1..=parts).map(|part| {
        let text = format!("Part {part} of the answer, which has eight words. ");
        format!(r#",{{"id":"run/{part}","role":"assistant","content":"{text}"}}"#)
    });
    let question = r#"{"id":"question","role":"user","content":"Why?"}"#;
    format!("[{question}{}]", answer.collect::<String>())
}

/// Returns the messages of a client whose run has ended.
async fn read(mut client: Process) -> String {
    client.rest().await.pop().expect("messages")
}

fn work(parts: &[usize]) -> Vec<String> {
    parts.iter().map(|part| format!("working on part {part}")).collect()
}

/// Sends a request whose connection closes after the response.
async fn send(port: u16, request: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = request.replace("\r\n\r\n", "\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(connection.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// Returns the status of a request to stop the run.
async fn stop(port: u16, user: &str) -> u16 {
    let answer = send(port, &format!("DELETE /agent/{RUN} HTTP/1.1\r\n{user}\r\n\r\n")).await;
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn clients_of_one_run_share_one_answer() {
    let example = Example::start(None).await;
    let Some(mut first) = ask("ann", &[example.port]) else { return };
    first.reach("TEXT_MESSAGE_CONTENT run/2").await;
    let second = ask("ann", &[example.port]).unwrap();
    assert_eq!((read(first).await, read(second).await), (messages(3), messages(3)));
    assert_eq!(read(ask("ann", &[example.port]).unwrap()).await, messages(3));
    assert_eq!(example.process.kill().await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn client_that_is_cut_off_gets_every_word_once() {
    let example = Example::start(None).await;
    let relay = Relay::to(example.port).await;
    let Some(mut cut) = ask("ann", &[relay.address.port()]) else { return };
    for part in ["run/1", "run/2", "run/3"] {
        cut.reach(&format!("TEXT_MESSAGE_CONTENT {part}")).await;
        relay.cut();
    }
    assert_eq!(read(cut).await, messages(3));
    assert_eq!(example.process.kill().await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn stop_ends_a_run_for_good() {
    let example = Example::start(None).await;
    let Some(mut first) = ask("ann", &[example.port]) else { return };
    first.reach("TEXT_MESSAGE_START run/2").await;
    assert_eq!(stop(example.port, "x-other: ann").await, 401);
    assert_eq!(stop(example.port, "x-user: bob").await, 404);
    assert_eq!(stop(example.port, "x-user: ann").await, 204);
    let repeated = ask("ann", &[example.port]).unwrap();
    for mut client in [first, repeated] {
        client.reach("RUN_ERROR stopped").await;
        let messages = read(client).await;
        assert!(messages.contains("Part 1") && !messages.contains("Part 3"), "{messages}");
    }
    assert_eq!(stop(example.port, "x-user: ann").await, 404);
    assert_eq!(example.process.kill().await, work(&[1, 2]));
}

#[tokio::test]
async fn request_without_a_user_is_refused_and_not_repeated() {
    let example = Example::start(None).await;
    let Some(client) = ask("", &[example.port]) else { return };
    assert_eq!(read(client).await, "401");
}

/// A client repeats a request whose body has failed.
#[tokio::test]
async fn error_of_the_work_is_the_last_event_of_its_run() {
    let example = Example::start(None).await;
    let input = r#"{"runId":"run"}"#;
    let head = "POST /agent HTTP/1.1\r\nx-user: ann\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{input}", input.len());
    for _ in 0..2 {
        let answer = send(example.port, &request).await;
        assert!(answer.contains(r#""message":"no messages","type":"RUN_ERROR""#), "{answer}");
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn page_that_is_reloaded_after_a_death_gets_its_question() {
    let Some(redis) = Redis::start().await else { return };
    let killed = Example::start(Some(&redis)).await;
    let Some(mut page) = ask("ann", &[killed.port]) else { return };
    page.reach("TEXT_MESSAGE_CONTENT run/2").await;
    killed.process.kill().await;
    page.kill().await;
    let other = Example::start(Some(&redis)).await;
    let mut reloaded = client("ann", &[other.port]).unwrap();
    let reloaded = Process::start(reloaded.env("RELOADED", "1"));
    assert_eq!(read(reloaded).await, messages(3));
}

#[tokio::test]
async fn client_repeats_until_another_process_has_done_the_rest() {
    let Some(redis) = Redis::start().await else { return };
    let [killed, other] = [Example::start(Some(&redis)).await, Example::start(Some(&redis)).await];
    let Some(mut reader) = ask("ann", &[killed.port, other.port]) else { return };
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    assert_eq!(killed.process.kill().await, work(&[1, 2]));
    assert_eq!(read(reader).await, messages(3));
    assert_eq!(other.process.kill().await, work(&[2, 3]));
}

/// The other process may start after the death.
#[tokio::test]
async fn work_goes_on_although_no_client_asks() {
    let Some(redis) = Redis::start().await else { return };
    let killed = Example::start(Some(&redis)).await;
    let Some(mut reader) = ask("ann", &[killed.port]) else { return };
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    assert_eq!(killed.process.kill().await, work(&[1, 2]));
    reader.kill().await;
    let mut other = Example::start(Some(&redis)).await;
    other.process.reach("working on part 2").await;
    other.process.reach("working on part 3").await;
    assert_eq!(read(ask("ann", &[other.port]).unwrap()).await, messages(3));
    assert_eq!(other.process.kill().await, [""; 0]);
}
