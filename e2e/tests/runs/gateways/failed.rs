//! Answers that have failed under status 200, in the ways of several upstreams: a run never keeps
//! one, and no client takes one for whole.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::extract::Path;
use axum::routing::post;
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use tower_sse::decode::MessageStream;

use super::failures::{is_failure, unless_failed};
use crate::support::client;
use crate::*;

const CHUNK: &str = r#"data: {"choices":[{"delta":{"content":"half"}}],"error":null}"#;
const DONE: &str = "data: [DONE]";

/// How answers end after their first chunk. The first one is whole.
const ENDS: [&[&str]; 7] = [
    &[DONE],
    // LiteLLM, at a cut of its upstream.
    &[r#"data: {"error": {"message": "cut", "type": null, "code": "500"}}"#, DONE],
    // OpenAI's chat completions, and Gemini.
    &[r#"data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#],
    // Anthropic.
    &["event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}"],
    // OpenAI's Responses.
    &["event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{}}"],
    &["event: error\ndata: {\"type\":\"error\",\"code\":null,\"message\":\"overloaded\"}", DONE],
    // A clean end, and nothing else.
    &[],
];

/// Fails at an event that says so, and at the end of an answer without `[DONE]`.
#[derive(Default)]
struct WholeOnly {
    is_done: bool,
}

impl filter::EventFilter for WholeOnly {
    fn event(&mut self, event: tower_sse::decode::EventRef<'_>) -> Verdict {
        self.is_done |= event.data() == "[DONE]";
        match is_failure(&event.name(), &event.data()) {
            true => Verdict::Fail(event.data().into_owned().into()),
            false => Verdict::Pass,
        }
    }

    fn source_end(&mut self, _: filter::SourceEnd<'_>) -> Verdict {
        if self.is_done { Verdict::Pass } else { Verdict::Fail("no [DONE]".into()) }
    }
}

type Calls = std::sync::Arc<[AtomicUsize; ENDS.len()]>;

fn upstream(calls: &Calls, end: usize) -> Response {
    calls[end].fetch_add(1, SeqCst);
    let blocks = [CHUNK].into_iter().chain(ENDS[end].iter().copied());
    let blocks = blocks.map(|block| Ok::<_, Infallible>(format!("{block}\n\n")));
    let body = Body::from_stream(stream::iter(blocks));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

async fn serve(calls: &Calls) -> SocketAddr {
    let run = Runs::new().layer(|request: &Request| Some(RunKey::new("ann", request.uri().path())));
    let (decoded, filtered, passed) = (calls.clone(), calls.clone(), calls.clone());
    let decode = async move |Path(end): Path<usize>| {
        let messages = MessageStream::new(upstream(&decoded, end).into_body()).terminator("[DONE]");
        let events = unless_failed(messages).map_ok(Event::from);
        (StreamOptions::new().terminator("[DONE]"), tower_sse::response(events)).into_response()
    };
    let pass = async move |Path(end): Path<usize>| upstream(&filtered, end);
    let pass_all = async move |Path(end): Path<usize>| upstream(&passed, end);
    let filter = FilterLayer::new(|_: &Request| Some(WholeOnly::default()));
    let app = Router::new()
        .route("/decoded/{end}", post(decode))
        .route("/filtered/{end}", post(pass).layer(filter))
        .route("/passed/{end}", post(pass_all))
        .layer(run)
        .layer(SseLayer::new());
    serve_axum(app).await
}

#[tokio::test]
async fn answer_that_failed_under_status_200_is_asked_for_again() {
    for way in ["decoded", "filtered"] {
        let calls = Calls::default();
        let address = serve(&calls).await;
        for end in 0..ENDS.len() {
            for round in 1..=2 {
                let path = format!("/{way}/{end}");
                let answer = client::post(address, &path, &[], "{}".to_owned()).await;
                assert_eq!(answer.status(), 200);
                let whole = answer.into_body().collect().await;
                let calls = calls[end].load(SeqCst);
                assert_eq!(whole.is_ok(), end == 0, "{way}, {:?}", ENDS[end]);
                assert_eq!(calls, if end == 0 { 1 } else { round }, "{way}, {:?}", ENDS[end]);
            }
        }
    }
}

/// What the two ways above are for.
#[tokio::test]
async fn failure_that_is_passed_on_is_kept_as_a_whole_answer() {
    let calls = Calls::default();
    let address = serve(&calls).await;
    for _ in 0..2 {
        let answer = client::post(address, "/passed/1", &[], "{}".to_owned()).await;
        let whole = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&whole).contains("data: [DONE]\n"), "{whole:?}");
    }
    assert_eq!(calls[1].load(SeqCst), 1);
}
