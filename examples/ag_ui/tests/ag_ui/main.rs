//! The example, mostly in processes of its own, called by the official client for JavaScript or by
//! plain requests.

#![cfg(unix)]

use std::net::SocketAddr;

use futures_util::stream::pending;
use tokio::{process::Command, sync::mpsc};
use tower_sse::Event;
use tower_sse::runs::{Outcome, RunKey, Runs};

#[path = "../../src/main.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../../../tests/support/redis_server.rs"]
mod redis_server;
#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use redis_server::Server;
use relay::Relay;
use support::{Process, Program, exchange, node};

const RUN: &str = "run";

/// Starts a process of the example.
async fn start(redis: Option<&Server>) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ag_ui"));
    command.env("PORT", "0").env_remove("REDIS_URL");
    command.envs(redis.map(|redis| ("REDIS_URL", redis.url())));
    Process::serve(&mut command).await
}

/// Kills a process of the example. Returns what it has printed.
async fn kill(mut example: Process) -> Vec<String> {
    example.kill().await;
    example.rest().await
}

/// Returns the official client, which asks at these addresses in turn, or `None` if it is not
/// installed.
fn client(user: &str, addresses: &[SocketAddr]) -> Option<Command> {
    let mut command = node("tests/ag_ui/client.mjs", &["@ag-ui/client"])?;
    command.args([user, RUN]);
    command.args(addresses.iter().map(|address| format!("http://{address}/agent")));
    Some(command)
}

fn ask(user: &str, addresses: &[SocketAddr]) -> Option<Program> {
    Some(Program::start(&mut client(user, addresses)?))
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
async fn read(mut client: Program) -> String {
    client.rest().await.pop().expect("messages")
}

fn work(parts: &[usize]) -> Vec<String> {
    parts.iter().map(|part| format!("working on part {part}")).collect()
}

/// Sends a request whose connection closes after the response.
async fn send(address: SocketAddr, request: &str) -> String {
    let request = request.replace("\r\n\r\n", "\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    exchange(address, &request).await
}

/// Returns the status of a request to stop the run.
async fn stop(address: SocketAddr, user: &str) -> u16 {
    let answer = send(address, &format!("DELETE /agent/{RUN} HTTP/1.1\r\n{user}\r\n\r\n")).await;
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn clients_of_one_run_share_one_answer() {
    let example = start(None).await;
    let Some(mut first) = ask("ann", &[example.address]) else { return };
    first.reach("TEXT_MESSAGE_CONTENT run/2").await;
    // A proxy first answers this client with a page of its own.
    let mut second = client("ann", &[example.address]).unwrap();
    let second = Program::start(second.env("LOGGED_OUT", "1"));
    assert_eq!((read(first).await, read(second).await), (messages(3), messages(3)));
    assert_eq!(read(ask("ann", &[example.address]).unwrap()).await, messages(3));
    assert_eq!(kill(example).await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn client_that_is_cut_off_gets_every_word_once() {
    let example = start(None).await;
    let relay = Relay::to(example.address.port()).await;
    let Some(mut cut) = ask("ann", &[relay.address]) else { return };
    for part in ["run/1", "run/2", "run/3"] {
        cut.reach(&format!("TEXT_MESSAGE_CONTENT {part}")).await;
        relay.cut();
    }
    assert_eq!(read(cut).await, messages(3));
    assert_eq!(kill(example).await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn stop_ends_a_run_for_good() {
    let example = start(None).await;
    let Some(mut first) = ask("ann", &[example.address]) else { return };
    first.reach("TEXT_MESSAGE_START run/2").await;
    assert_eq!(stop(example.address, "x-other: ann").await, 401);
    assert_eq!(stop(example.address, "x-user: bob").await, 404);
    assert_eq!(stop(example.address, "x-user: ann").await, 204);
    let repeated = ask("ann", &[example.address]).unwrap();
    for mut client in [first, repeated] {
        client.reach("RUN_ERROR stopped").await;
        let messages = read(client).await;
        assert!(messages.contains("Part 1") && !messages.contains("Part 3"), "{messages}");
    }
    assert_eq!(stop(example.address, "x-user: ann").await, 404);
    assert_eq!(kill(example).await, work(&[1, 2]));
}

#[tokio::test]
async fn request_without_a_user_is_refused_and_not_repeated() {
    let example = start(None).await;
    let Some(client) = ask("", &[example.address]) else { return };
    assert_eq!(read(client).await, "401");
}

/// The thread has almost 2 MiB, the most that axum accepts and that a run holds.
#[tokio::test]
async fn thread_that_fills_its_run_ends_with_an_error() {
    let example = start(None).await;
    let text = "x".repeat((2 << 20) - 100);
    let thread = format!(r#"{{"runId":"r","messages":[{{"id":"q","content":"{text}"}}]}}"#);
    let head = "POST /agent HTTP/1.1\r\nx-user: ann\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{thread}", thread.len());
    let answer = send(example.address, &request).await;
    assert!(answer.contains("the thread is too large"), "{:?}", answer.get(..500));
    assert_eq!(kill(example).await, [""; 0]);
}

/// A client repeats a request whose body has failed.
#[tokio::test]
async fn error_of_the_work_is_the_last_event_of_its_run() {
    let example = start(None).await;
    let input = r#"{"runId":"run"}"#;
    let head = "POST /agent HTTP/1.1\r\nx-user: ann\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{input}", input.len());
    for _ in 0..2 {
        let answer = send(example.address, &request).await;
        assert!(answer.contains(r#""message":"no messages","type":"RUN_ERROR""#), "{answer}");
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn page_that_is_reloaded_after_a_death_gets_its_question() {
    let Some(redis) = Server::start().await else { return };
    let killed = start(Some(&redis)).await;
    let Some(mut page) = ask("ann", &[killed.address]) else { return };
    page.reach("TEXT_MESSAGE_CONTENT run/2").await;
    kill(killed).await;
    page.kill().await;
    let other = start(Some(&redis)).await;
    let mut reloaded = client("ann", &[other.address]).unwrap();
    let reloaded = Program::start(reloaded.env("RELOADED", "1"));
    assert_eq!(read(reloaded).await, messages(3));
}

#[tokio::test]
async fn client_repeats_until_another_process_has_done_the_rest() {
    let Some(redis) = Server::start().await else { return };
    let [killed, other] = [start(Some(&redis)).await, start(Some(&redis)).await];
    let Some(mut reader) = ask("ann", &[killed.address, other.address]) else { return };
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    assert_eq!(kill(killed).await, work(&[1, 2]));
    assert_eq!(read(reader).await, messages(3));
    assert_eq!(kill(other).await, work(&[2, 3]));
}

/// A run's death can be reported twice. The second report can wait behind those of other runs.
#[tokio::test]
async fn late_report_of_a_death_restarts_no_stopped_run() {
    let Some(redis) = Server::start().await else { return };
    let (ended, mut ends) = mpsc::unbounded_channel();
    let runs = Runs::builder().on_end(move |end| _ = ended.send(end.clone())).build();
    let redis = Some(redis::Client::open(redis.url()).unwrap());
    let app = example::App { runs: runs.clone(), redis };
    let key = RunKey::new("ann", RUN).unwrap();
    example::save(&app, &key, 0, "").await.unwrap();
    runs.start(&key, None, pending::<Event>).await.unwrap();
    assert!(runs.cancel(&key, None).await);
    let mut late = ends.recv().await.unwrap();
    late.outcome = Outcome::Interrupted;
    let (reports, reported) = mpsc::unbounded_channel();
    reports.send(late).unwrap();
    drop(reports);
    example::restart(app, reported).await;
    assert_eq!(runs.get(&key).await.unwrap().outcome(), Some(Outcome::Cancelled));
}

/// The process that restarts the run may itself start after the death.
#[tokio::test]
async fn work_goes_on_although_no_client_asks() {
    let Some(redis) = Server::start().await else { return };
    let killed = start(Some(&redis)).await;
    let Some(mut reader) = ask("ann", &[killed.address]) else { return };
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    assert_eq!(kill(killed).await, work(&[1, 2]));
    reader.kill().await;
    let mut other = start(Some(&redis)).await;
    other.reach("working on part 2").await;
    other.reach("working on part 3").await;
    assert_eq!(read(ask("ann", &[other.address]).unwrap()).await, messages(3));
    assert_eq!(kill(other).await, [""; 0]);
}
