//! The example as a process, with the stand-in for a model, and with an API that the test serves.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use tower_sse::decode::{Message, MessageStream};
use tower_sse::{BoxError, Event, SseLayer};

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process of the example, and a visitor of it. Dropping it kills the process.
struct Example {
    child: Child,
    errors: Lines<BufReader<ChildStderr>>,
    url: String,
    client: Client,
    visitor: String,
}

impl Example {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runs_quickstart"));
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"] {
            command.env_remove(name);
        }
        command.env("PORT", "0").envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("an address").unwrap();
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, errors, url, client, visitor: "visitor=ann".to_owned() }
    }

    async fn ask(&self, turn: &str, question: &str) -> reqwest::Response {
        let request = self.client.post(format!("{}/answers/{turn}", self.url));
        request.header("cookie", &self.visitor).body(question.to_owned()).send().await.unwrap()
    }

    async fn attach(&self, visitor: &str, turn: &str, last: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}/answers/{turn}", self.url));
        // In fields of their own, as browsers send them over HTTP/2.
        let request = request.header("cookie", "theme=dark").header("cookie", visitor);
        request.header("last-event-id", last).send().await.unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn messages(response: reqwest::Response) -> MessageStream<Body> {
    assert_eq!(response.status(), StatusCode::OK);
    MessageStream::new(Body::from(response))
}

/// Returns the texts of an answer.
async fn texts(response: reqwest::Response) -> Result<Vec<String>, BoxError> {
    messages(response).map_ok(|message| message.data).try_collect().await
}

async fn next(messages: &mut MessageStream<Body>) -> Message {
    timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap()
}

/// Serves chat completions to one key. Counts the calls.
async fn serve_api() -> (String, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&calls);
    let complete = async move |headers: HeaderMap, Json(request): Json<Value>| -> Response {
        let call = counted.fetch_add(1, Relaxed);
        assert_eq!(request["stream"], true);
        let question = request["messages"][0]["content"].as_str().unwrap();
        if headers["authorization"] != "Bearer secret" {
            return StatusCode::UNAUTHORIZED.into_response();
        } else if question == "busy" && call == 0 {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
        let delta = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
        let content = |text| delta(json!({ "content": text }));
        let model = request["model"].as_str().unwrap();
        let chunks = [
            delta(json!({ "role": "assistant", "content": "" })),
            content(model),
            content(" says:\n\n"),
            content("ö"),
            delta(json!({})),
            json!({ "choices": [], "usage": {} }),
        ];
        let chunks = chunks.map(|chunk| Event::from(chunk.to_string()));
        let done = (question != "cut").then(|| Event::from("[DONE]"));
        let events = stream::iter(chunks.into_iter().chain(done));
        tower_sse::response(events).into_response()
    };
    let app: Router =
        Router::new().route("/v1/chat/completions", post(complete)).layer(SseLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (url, calls)
}

async fn with_api(key: &str) -> (Example, Arc<AtomicUsize>) {
    let (url, calls) = serve_api().await;
    let environment =
        [("OPENAI_API_KEY", key), ("OPENAI_BASE_URL", &url), ("OPENAI_MODEL", "small")];
    (Example::start(&environment), calls)
}

#[tokio::test]
async fn answer_of_the_api_is_asked_for_once_and_comes_whole() {
    let (example, calls) = with_api("secret").await;
    let expected = ["small", " says:\n\n", "ö"];
    assert_eq!(texts(example.ask("1", "what?").await).await.unwrap(), expected);
    // The page that reloads, and another that repeats the question.
    assert_eq!(texts(example.attach("visitor=ann", "1", "").await).await.unwrap(), expected);
    assert_eq!(texts(example.ask("1", "what?").await).await.unwrap(), expected);
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test]
async fn question_that_the_api_refuses_can_be_asked_again() {
    let (mut example, calls) = with_api("secret").await;
    assert_eq!(example.ask("1", "busy").await.status(), StatusCode::BAD_GATEWAY);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.contains("429"), "{error}");
    assert_eq!(texts(example.ask("1", "busy").await).await.unwrap().len(), 3);
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test]
async fn answer_that_the_api_cuts_fails() {
    let (mut example, _) = with_api("secret").await;
    let cut = messages(example.ask("1", "cut").await);
    let items: Vec<_> = cut.map(|item| item.is_ok()).collect().await;
    assert_eq!(items, [true, true, true, false]);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.starts_with("the model: "), "{error}");
}

#[tokio::test]
async fn wrong_key_is_reported_to_the_operator() {
    let (mut example, _) = with_api("wrong").await;
    assert_eq!(example.ask("1", "what?").await.status(), StatusCode::BAD_GATEWAY);
    let error = example.errors.next().unwrap().unwrap();
    assert!(error.contains("401") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn answer_of_the_stand_in_belongs_to_its_visitor() {
    let mut example = Example::start(&[]);
    let page = example.client.get(&example.url).send().await.unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let without = example.client.post(format!("{}/answers/1", example.url)).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::BAD_REQUEST);
    example.visitor = cookie.to_owned();
    let mut answer = messages(example.ask("1", "what?").await);
    let (first, second) = (next(&mut answer).await, next(&mut answer).await);
    drop(answer);
    for (id, expected) in [("", &first), (&*first.last_event_id, &second)] {
        let mut answer = messages(example.attach(cookie, "1", id).await);
        let message = next(&mut answer).await;
        assert_eq!(
            (&message.data, &message.last_event_id),
            (&expected.data, &expected.last_event_id)
        );
    }
    let stranger = example.attach("visitor=stranger", "1", "").await;
    assert_eq!(stranger.status(), StatusCode::NOT_FOUND);
}
