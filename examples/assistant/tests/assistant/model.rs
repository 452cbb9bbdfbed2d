//! The answers of the API and of the stand-in.

use std::sync::atomic::Ordering::Relaxed;

use futures_util::StreamExt;

use crate::*;

#[tokio::test]
async fn answer_of_the_api_is_asked_for_once_and_comes_whole() {
    let (api, example) = Api::start("secret", &[]).await;
    let expected = ["small", " says:\n\n", "ö"];
    assert_eq!(words(example.ask("1", "what?").await).await, expected);
    // The answer goes to the page that reloads, and to one that repeats the question.
    assert_eq!(words(example.attach("1", "").await).await, expected);
    assert_eq!(words(example.ask("1", "what?").await).await, expected);
    assert_eq!(api.calls.load(Relaxed), 1);
}

#[tokio::test]
async fn question_that_the_api_refuses_can_be_asked_again() {
    let (api, mut example) = Api::start("secret", &[]).await;
    assert_eq!(example.ask("1", "busy").await.status(), StatusCode::BAD_GATEWAY);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.contains("429"), "{error}");
    assert_eq!(words(example.ask("1", "busy").await).await.len(), 3);
    assert_eq!(api.calls.load(Relaxed), 2);
}

#[tokio::test]
async fn answer_that_the_api_cuts_fails() {
    let (_, mut example) = Api::start("secret", &[]).await;
    let cut = messages(example.ask("1", "cut").await);
    let items: Vec<_> = cut.map(|item| item.is_ok()).collect().await;
    assert_eq!(items, [true, true, true, false]);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.starts_with("the model: "), "{error}");
}

/// Although the API sends `[DONE]`, the page must not take this answer for complete.
#[tokio::test]
async fn answer_whose_failure_the_api_reports_in_the_stream_fails() {
    let (_, mut example) = Api::start("secret", &[]).await;
    let answer = messages(example.ask("1", "fail").await);
    let items: Vec<_> = answer.map(|item| item.is_ok()).collect().await;
    assert_eq!(items, [true, true, true, false]);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.contains("overloaded"), "{error}");
}

/// To an `EventSource`, a `404` would look like the end of the answer.
#[tokio::test]
async fn reload_in_an_answer_without_its_first_events_is_gone() {
    let (_, example) = Api::start("secret", &[]).await;
    assert_eq!(words(example.ask("1", "long").await).await.len(), 8);
    let events = events(example.attach("1", "").await).await.unwrap();
    assert_eq!(events, [("gone".to_owned(), "{}".to_owned())]);
}

#[tokio::test]
async fn wrong_key_is_reported_to_the_operator() {
    let (_, mut example) = Api::start("wrong", &[]).await;
    assert_eq!(example.ask("1", "what?").await.status(), StatusCode::BAD_GATEWAY);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.contains("401") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn answer_of_the_stand_in_belongs_to_its_user() {
    let mut example = Example::start(&[("SILENCE", "0.1")]);
    let page = example.client.get(&example.url).send().await.unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let without = example.client.post(format!("{}/answers/1", example.url)).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    example.user = cookie.to_owned();
    assert_eq!(example.ask("0", "busy").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let mut answer = messages(example.ask("1", "what?").await);
    let (first, second) = (next(&mut answer).await, next(&mut answer).await);
    drop(answer);
    for (id, expected) in [("", &first), (&*first.last_event_id, &second)] {
        let message = next(&mut messages(example.attach("1", id).await)).await;
        assert_eq!(
            (&message.data, &message.last_event_id),
            (&expected.data, &expected.last_event_id)
        );
    }
    example.user = "user=stranger".to_owned();
    let events = events(example.attach("1", "").await).await.unwrap();
    assert_eq!(events, [("gone".to_owned(), "{}".to_owned())]);
}
