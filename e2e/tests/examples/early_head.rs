//! A model that is slow or busy. Clients that stream get a head before the model answers.

use crate::*;

async fn gateway() -> Process {
    let mut command = Command::new(example_program("early_head"));
    serve(command.env("HEAD_AFTER", "0.1").env("MODEL_TAKES", "1")).await
}

async fn complete(gateway: &Process, model: &str, stream: bool) -> (StatusCode, String) {
    let headers = [("content-type", "application/json")];
    let request = json!({ "model": model, "stream": stream }).to_string();
    let response = client::post(gateway.address, "/v1/chat/completions", &headers, request).await;
    let status = response.status();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn assert_is_early(body: &str) {
    assert!(body.find(": \n").unwrap() < body.find("data: ").unwrap(), "{body}");
}

#[tokio::test]
async fn stream_of_a_slow_model_begins_before_its_first_word() {
    let gateway = gateway().await;
    let summary = client::get(gateway.address, "/summary", &[("accept", "text/event-stream")]);
    let summary = soon(summary.await.into_body().collect()).await.unwrap().to_bytes();
    let completion = complete(&gateway, "slow", true).await.1;
    for body in [String::from_utf8(summary.to_vec()).unwrap(), completion] {
        assert_is_early(&body);
        assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    }
}

#[tokio::test]
async fn busy_model_answers_with_a_status_or_in_the_stream() {
    let gateway = gateway().await;
    let (status, body) = complete(&gateway, "busy", false).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let mut error: Value = serde_json::from_str(&body).unwrap();
    let (status, body) = complete(&gateway, "busy", true).await;
    assert_eq!(status, StatusCode::OK);
    assert_is_early(&body);
    error["error"]["status"] = 429.into();
    error["choices"] = json!([{ "index": 0, "delta": {}, "finish_reason": "error" }]);
    assert!(body.ends_with(&format!("data: {error}\n\n")), "{body}");
    let (status, body) = complete(&gateway, "slow", false).await;
    let completion: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &completion["object"]), (StatusCode::OK, &json!("chat.completion")));
}
