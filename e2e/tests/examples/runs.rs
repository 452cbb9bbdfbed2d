//! Answers that outlive their connection.

use crate::*;

#[tokio::test]
async fn answer_goes_on_after_its_client_has_left() {
    let example = Example::start("runs");
    answer_goes_on_at(example.address, example.address).await;
}

/// Asks at one process, and reads on at another.
pub(crate) async fn answer_goes_on_at(asked: std::net::SocketAddr, other: std::net::SocketAddr) {
    let visitor = [("cookie", "visitor=ann")];
    let mut answer = EventReader::new(client::post(asked, "/answers/1", &visitor, "").await);
    assert_eq!(answer.next().await.unwrap().data, "A ");
    let seen = answer.next().await.unwrap().last_event_id;
    drop(answer);
    let mut rest = open(other, "/answers/1", &seen).await;
    assert_eq!(rest.next().await.unwrap().data, "is ");
}

#[tokio::test]
async fn answer_of_the_quickstart_belongs_to_its_visitor() {
    let example = Example::start("runs_quickstart");
    let page = client::get(example.address, "/", &[]).await;
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let without = client::post(example.address, "/answers/1", &[], "").await;
    assert_eq!(without.status(), StatusCode::BAD_REQUEST);
    let visitor = [("cookie", cookie)];
    let asked = client::post(example.address, "/answers/1", &visitor, "").await;
    let mut answer = EventReader::new(asked);
    let first = answer.next().await.unwrap();
    let second = answer.next().await.unwrap();
    drop(answer);
    let id = first.last_event_id.to_string();
    for (id, expected) in [("", first), (&*id, second)] {
        let headers = [("cookie", cookie), ("last-event-id", id)];
        let response = client::get(example.address, "/answers/1", &headers).await;
        let event = EventReader::new(response).next().await.unwrap();
        assert_eq!((event.data, event.last_event_id), (expected.data, expected.last_event_id));
    }
    let stranger = [("cookie", "visitor=stranger")];
    let response = client::get(example.address, "/answers/1", &stranger).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn chat_completion_is_that_of_openai_and_resumes() {
    let example = Example::start("llm_tokens");
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
