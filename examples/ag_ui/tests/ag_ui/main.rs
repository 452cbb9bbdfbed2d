//! The example in processes of its own, with npm's official client.

#![cfg(unix)]

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

#[path = "../../../../tests/support/patience.rs"]
#[allow(dead_code, unreachable_pub)]
mod patience;
#[path = "../../../../tests/support/port.rs"]
#[allow(unreachable_pub)]
mod port;
mod process;
#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

use patience::soon;
use process::{Client, Example, Process, Redis, find_client};
use relay::Relay;

const RUN: &str = "run";

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

/// Returns the status of a request to stop the run.
async fn stop(port: u16, user: &str) -> u16 {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("DELETE /agent/{RUN} HTTP/1.1\r\nhost: localhost\r\n{user}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon(connection.read_exact(&mut answer)).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn clients_of_one_run_share_one_answer() {
    let Some(client) = find_client() else { return };
    let example = Example::start(None).await;
    let mut first = client.ask("ann", RUN, &[example.port]);
    first.reach("TEXT_MESSAGE_CONTENT run/2").await;
    let second = client.ask("ann", RUN, &[example.port]);
    assert_eq!((read(first).await, read(second).await), (messages(3), messages(3)));
    assert_eq!(read(client.ask("ann", RUN, &[example.port])).await, messages(3));
    assert_eq!(example.process.kill().await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn client_that_is_cut_off_gets_every_word_once() {
    let Some(client) = find_client() else { return };
    let example = Example::start(None).await;
    let pass = |mut client, mut server| async move {
        _ = copy_bidirectional(&mut client, &mut server).await;
    };
    let relay = Relay::start(example.port, pass).await;
    let mut cut = client.ask("ann", RUN, &[relay.port]);
    for part in ["run/1", "run/2", "run/3"] {
        cut.reach(&format!("TEXT_MESSAGE_CONTENT {part}")).await;
        relay.cut();
    }
    assert_eq!(read(cut).await, messages(3));
    assert_eq!(example.process.kill().await, work(&[1, 2, 3]));
}

#[tokio::test]
async fn stop_ends_a_run_for_good() {
    let Some(client) = find_client() else { return };
    let example = Example::start(None).await;
    let mut first = client.ask("ann", RUN, &[example.port]);
    first.reach("TEXT_MESSAGE_START run/2").await;
    assert_eq!(stop(example.port, "").await, 401);
    assert_eq!(stop(example.port, "x-user: bob\r\n").await, 404);
    assert_eq!(stop(example.port, "x-user: ann\r\n").await, 204);
    let repeated = client.ask("ann", RUN, &[example.port]);
    for mut client in [first, repeated] {
        client.reach("RUN_ERROR stopped").await;
        let messages = read(client).await;
        assert!(messages.contains("Part 1") && !messages.contains("Part 3"), "{messages}");
    }
    assert_eq!(stop(example.port, "x-user: ann\r\n").await, 404);
    assert_eq!(example.process.kill().await, work(&[1, 2]));
}

#[tokio::test]
async fn request_without_a_user_is_refused_and_not_repeated() {
    let Some(client) = find_client() else { return };
    let example = Example::start(None).await;
    assert_eq!(read(client.ask("", RUN, &[example.port])).await, "401");
}

#[tokio::test]
async fn client_repeats_until_another_process_has_done_the_rest() {
    let Some((client, redis)) = tools().await else { return };
    let [killed, other] = [Example::start(Some(&redis)).await, Example::start(Some(&redis)).await];
    let mut reader = client.ask("ann", RUN, &[killed.port, other.port]);
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    assert_eq!(killed.process.kill().await, work(&[1, 2]));
    assert_eq!(read(reader).await, messages(3));
    assert_eq!(other.process.kill().await, work(&[2, 3]));
}

/// The other process may start after the death.
#[tokio::test]
async fn work_goes_on_although_no_client_asks() {
    let Some((client, redis)) = tools().await else { return };
    let killed = Example::start(Some(&redis)).await;
    let mut reader = client.ask("ann", RUN, &[killed.port]);
    reader.reach("TEXT_MESSAGE_CONTENT run/2").await;
    reader.kill().await;
    assert_eq!(killed.process.kill().await, work(&[1, 2]));
    let mut other = Example::start(Some(&redis)).await;
    other.process.reach("working on part 2").await;
    other.process.reach("working on part 3").await;
    assert_eq!(read(client.ask("ann", RUN, &[other.port])).await, messages(3));
    assert_eq!(other.process.kill().await, [""; 0]);
}

async fn tools() -> Option<(Client, Redis)> {
    Some((find_client()?, Redis::start().await?))
}
