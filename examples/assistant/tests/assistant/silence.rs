//! What happens while the model thinks.

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use tokio::task::JoinHandle;

use crate::*;

/// The early head comes at once, so that a test has its answers in the silence.
const SOON: [(&str, &str); 1] = [("PROXY_TIMEOUT", "0.01")];

type Received = JoinHandle<Result<Vec<(String, String)>, BoxError>>;

/// Asks a question, and attaches. Returns what both receive, once the heads of both are there.
async fn ask(example: &Example, question: &str) -> [Received; 2] {
    let asking = events(example.ask("1", question).await);
    let attached = events(example.attach("1", "").await);
    [tokio::spawn(asking), tokio::spawn(attached)]
}

async fn received(clients: [Received; 2]) -> [Result<Vec<(String, String)>, BoxError>; 2] {
    let [asking, attached] = clients;
    [asking.await.unwrap(), attached.await.unwrap()]
}

fn names(events: &[(String, String)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn heartbeats_come_before_the_answer() {
    let (api, example) = Api::start("secret", &[("PROXY_TIMEOUT", "0.2")]).await;
    let mut response = example.ask("1", "think").await;
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b':').count() < 3 {
        text.extend(response.chunk().await.unwrap().expect("no end"));
    }
    assert!(!String::from_utf8(text).unwrap().contains("data"));
    api.permits.add_permits(1);
    assert_eq!(words(response).await.len(), 3);
}

#[tokio::test]
async fn stop_ends_each_answer_cleanly_without_done() {
    let (api, example) = Api::start("secret", &SOON).await;
    let clients = ask(&example, "think").await;
    assert_eq!(example.stop("1").await.status(), StatusCode::NO_CONTENT);
    for events in received(clients).await {
        assert_eq!(events.unwrap(), []);
    }
    assert_eq!(example.stop("1").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(api.calls.load(Relaxed), 1);
}

#[tokio::test]
async fn late_refusal_is_an_event_and_the_question_can_be_asked_again() {
    let (api, example) = Api::start("secret", &SOON).await;
    let clients = ask(&example, "think busy").await;
    api.permits.add_permits(1);
    let [asking, attached] = received(clients).await;
    assert_eq!(asking.unwrap(), [("refused".to_owned(), "502".to_owned())]);
    assert_eq!(names(&attached.unwrap()), ["gone"]);
    api.permits.add_permits(1);
    assert_eq!(words(example.ask("1", "think busy").await).await.len(), 3);
}

#[tokio::test]
async fn log_out_ends_the_streams_and_no_answer() {
    let (api, example) = Api::start("secret", &SOON).await;
    let clients = ask(&example, "think").await;
    let response = example.log_out().await;
    assert!(response.status().is_success(), "the page: {}", response.status());
    let [asking, attached] = received(clients).await;
    assert!(asking.is_err(), "half an answer must not look whole");
    assert_eq!(attached.unwrap(), []);
    // The stand-in for a log-in has no sessions, so the same cookie is another log-in.
    api.permits.add_permits(1);
    assert_eq!(words(example.attach("1", "").await).await.len(), 3);
    assert_eq!(api.calls.load(Relaxed), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_lets_each_client_have_its_answer_and_ends_the_process() {
    let (api, mut example) = Api::start("secret", &SOON).await;
    let clients = ask(&example, "think").await;
    let id = example.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    // It listens no more.
    while example.client.get(&example.url).send().await.is_ok() {}
    api.permits.add_permits(1);
    for events in received(clients).await {
        assert_eq!(names(&events.unwrap()), ["message", "message", "message", "done"]);
    }
    let exited = tokio::task::spawn_blocking(move || example.child.wait().unwrap());
    assert!(timeout(PATIENCE, exited).await.unwrap().unwrap().success());
}
