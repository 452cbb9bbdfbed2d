//! The example `job` in a browser: progress, the end, late visitors, failed and unknown jobs.

use axum::middleware::map_response;
use tower_sse::testing::{MemoryBroker, TestClient};

use crate::*;

#[path = "../../../examples/job/main.rs"]
#[allow(dead_code)]
mod example;

#[derive(Clone, Default)]
struct Answers {
    streams: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Answers {
    fn counts(&self) -> (usize, usize) {
        (self.streams.load(Relaxed), self.ended.load(Relaxed))
    }
}

/// Serves the example with a hub that keeps events for `retained`, and opens the page.
async fn open(retained: Duration) -> Option<(String, Answers, Chromium)> {
    let tools = Tools::find()?;
    let answers = Answers::default();
    let counted = answers.clone();
    let count = move |response: Response<axum::body::Body>| {
        let counter = match response.status() {
            StatusCode::OK if response.headers()["content-type"] == "text/event-stream" => {
                Some(&counted.streams)
            }
            StatusCode::NO_CONTENT => Some(&counted.ended),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
        std::future::ready(response)
    };
    let layer = SseLayer::new().for_pages().retry(Retry::fixed(Duration::from_millis(50)));
    let jobs = example::Jobs::new(
        Duration::from_millis(20),
        Hub::builder().retention(Retention::new().age(retained)).build(),
    );
    let app = example::app(jobs, layer).layer(map_response(count));
    let (listener, address) = listen().await;
    tokio::spawn(async { axum::serve(listener, app).await });
    let browser = Chromium::start(&tools).await;
    let url = format!("http://{address}/");
    browser.open(&url).await;
    Some((url, answers, browser))
}

const MINUTE: Duration = Duration::from_secs(60);
const IS_CLOSED: &str = "document.querySelector('#connection').textContent === '(closed)'";

/// With a broker, publishing can fail.
#[tokio::test(start_paused = true)]
async fn last_event_of_a_job_comes_although_events_are_refused() {
    let broker = MemoryBroker::new();
    let jobs = example::Jobs::new(MINUTE, Hub::connect(broker.clone()).await.unwrap());
    let app = example::app(jobs, SseLayer::new());
    broker.refuse(1);
    let start = Request::post("/jobs?fails_at=20").body(axum::body::Body::empty());
    app.clone().oneshot(start.unwrap()).await.unwrap();
    let client = TestClient::new(app).request_body::<axum::body::Body>();
    let mut events = client.time_limit(10 * MINUTE).get("/jobs/1").await;
    assert_eq!(events.next().await.data, "10");
    broker.refuse(2);
    assert_eq!(events.next().await.event, "failed");
}

#[tokio::test]
async fn page_shows_the_progress_until_the_end_and_does_not_reconnect() {
    let Some((url, answers, browser)) = open(MINUTE).await else { return };
    browser.click("#start").await;
    browser.until(IS_CLOSED).await;
    let received = browser.until("received").await;
    let received: Vec<String> = serde_json::from_value(received).unwrap();
    assert_eq!(received.last().unwrap(), "done: the result");
    // The first events may precede the stream.
    let steps: Vec<_> = (0..100).step_by(10).map(|percent| format!("{percent} %")).collect();
    assert!(steps.ends_with(&received[..received.len() - 1]), "{received:?}");
    assert_eq!(answers.counts(), (1, 0));

    // A page that opens after the job's end gets the last event.
    browser.open(&format!("{url}?job=1")).await;
    browser.until(IS_CLOSED).await;
    assert_eq!(browser.until("received").await, serde_json::json!(["done: the result"]));
    assert_eq!(answers.counts(), (2, 0));
}

#[tokio::test]
async fn page_of_a_job_that_the_hub_has_forgotten_does_not_reconnect() {
    let Some((url, answers, browser)) = open(Duration::ZERO).await else { return };
    browser.click("#start").await;
    browser.until("received.at(-1) === 'done: the result'").await;
    browser.until(IS_CLOSED).await;
    let before = answers.counts();
    browser.open(&format!("{url}?job=1")).await;
    browser.until(IS_CLOSED).await;
    assert_eq!(browser.until("received").await, serde_json::json!(["done: the result"]));
    assert_eq!(answers.counts(), (before.0 + 1, before.1));
}

#[tokio::test]
async fn page_shows_failed_and_unknown_jobs() {
    let Some((url, answers, browser)) = open(MINUTE).await else { return };
    browser.click("#fail").await;
    browser.until(IS_CLOSED).await;
    browser.until("received.at(-1) === 'failed: no more paper'").await;
    assert_eq!(answers.counts(), (1, 0));
    browser.open(&format!("{url}?job=99")).await;
    browser.until(IS_CLOSED).await;
    browser.until("received.length === 0").await;
    assert_eq!(answers.counts(), (1, 0));
}

#[tokio::test]
async fn page_follows_only_the_newest_job() {
    let Some((_, _, browser)) = open(MINUTE).await else { return };
    let record = "window.all = [], window.EventSource = class extends EventSource {
        constructor(url) { super(url); all.push(this); }
    }";
    browser.until(&format!("({record}, true)")).await;
    browser.click("#start").await;
    browser.until("all.length === 1").await;
    browser.click("#start").await;
    // On a busy machine, the module can take a connection for frozen and open another one.
    let follows_one = "all.length > 1 && all.at(-1).readyState !== 2 &&
        all.slice(0, -1).every(it => it.readyState === 2)";
    browser.until(follows_one).await;
}
