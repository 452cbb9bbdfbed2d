//! Answers that outlive their connection, and a gateway that bills answers.

use crate::*;

#[tokio::test]
async fn answer_goes_on_after_its_client_has_left() {
    let example = run("runs").await;
    answer_goes_on_at(example.address, example.address).await;
}

pub(crate) async fn answer_goes_on_at(asked: std::net::SocketAddr, other: std::net::SocketAddr) {
    let visitor = [("cookie", "visitor=ann")];
    let mut answer = EventReader::new(client::post(asked, "/answers/1", &visitor, "").await);
    assert_eq!(next(&mut answer).await.data, "A ");
    let seen = next(&mut answer).await.last_event_id;
    drop(answer);
    let mut rest = open(other, "/answers/1", &seen).await;
    assert_eq!(next(&mut rest).await.data, "is ");
}

#[tokio::test]
async fn chat_completion_is_that_of_openai_and_resumes() {
    let example = run("llm_tokens").await;
    let complete = async |last: &str| {
        let messages = [json!({ "role": "user", "content": "Tell me" })];
        let body = json!({ "model": "demo", "stream": true, "messages": messages });
        let headers = [
            ("content-type", "application/json"),
            ("authorization", "Bearer me"),
            ("idempotency-key", "1"),
            ("last-event-id", last),
        ];
        let path = "/v1/chat/completions";
        let response = client::post(example.address, path, &headers, body.to_string()).await;
        EventReader::new(response).rest().await
    };
    let whole = complete("").await;
    let (done, chunks) = whole.split_last().unwrap();
    assert_eq!(done.data, "[DONE]");
    let chunks = chunks.iter().map(|chunk| serde_json::from_str(&chunk.data).unwrap());
    let deltas = chunks.map(|chunk: Value| chunk["choices"][0]["delta"]["content"].clone());
    let text: Vec<_> = deltas.filter_map(|delta| Some(delta.as_str()?.to_owned())).collect();
    assert_eq!(text, ["", "Tell ", "me"]);
    assert_eq!(complete(&whole[1].last_event_id).await, whole[2..]);
}

/// Returns the answer to a request, and whether it is whole.
async fn ask(gateway: &Process, path: &str) -> (u16, String, bool) {
    let response = client::post(gateway.address, path, &[], "{}".to_owned()).await;
    let status = response.status().as_u16();
    let (mut body, mut text) = (response.into_body(), String::new());
    while let Some(frame) = soon(body.frame()).await {
        let Ok(frame) = frame else { return (status, text, false) };
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    (status, text, true)
}

#[tokio::test]
async fn gateway_fails_over_redacts_and_bills_once() {
    let mut gateway = run("gateway").await;
    let (status, text, is_whole) = ask(&gateway, "/v1/chat/completions").await;
    assert_eq!((status, is_whole), (200, true));
    assert!(!text.contains("overloaded"), "{text}");
    assert!(!text.contains("server") && text.contains(r#""content":"see "}}]}"#), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let billed = gateway.line().await.unwrap();
    assert_eq!(billed, "billed 3 events of /v1/chat/completions: completed");
}

#[tokio::test]
async fn gateway_fails_an_answer_that_was_cut_and_bills_it() {
    let mut gateway = run("gateway").await;
    let (status, text, is_whole) = ask(&gateway, "/cut").await;
    assert_eq!((status, is_whole), (200, false));
    assert_eq!(text.matches("data: ").count(), 2, "{text}");
    let billed = gateway.line().await.unwrap();
    assert_eq!(billed, "billed 2 events of /cut: filter_failed");
}

/// The upstream ends as if the answer were whole.
#[tokio::test]
async fn gateway_fails_an_answer_that_its_upstream_reports_as_failed() {
    let mut gateway = run("gateway").await;
    let (status, text, is_whole) = ask(&gateway, "/failed").await;
    assert_eq!((status, is_whole), (200, false));
    assert!(!text.contains("[DONE]") && text.matches("data: ").count() == 2, "{text}");
    let billed = gateway.line().await.unwrap();
    assert_eq!(billed, "billed 2 events of /failed: stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_is_billed_for_what_was_sent() {
    let mut gateway = run("gateway").await;
    let path = "/v1/chat/completions";
    let response = client::post(gateway.address, path, &[], "{}".to_owned()).await;
    let mut body = response.into_body();
    soon(body.frame()).await.unwrap().unwrap();
    drop(body);
    let billed = gateway.line().await.unwrap();
    assert!(
        billed.starts_with("billed ") && billed.ends_with(&format!(" of {path}: disconnected"))
    );
}
