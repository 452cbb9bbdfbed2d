//! A page that distinguishes an answer that breaks off from a whole answer, in three engines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_stream::stream;
use axum::response::{IntoResponse, Response};
use axum::{Router, extract::State, routing::get};
use futures_util::stream::{StreamExt, pending};
use http::{StatusCode, request::Parts};
use tower_sse::runs::{RunKey, Runs};
use tower_sse::{Event, SseLayer};

use crate::engine::{Engine, EnginePage};

/// Reports what the page receives of the answer, until its `EventSource` is closed.
const SCRIPT: &str = "const source = new EventSource('/answer');
    source.onmessage = ({ data }) => report(data);
    source.addEventListener('interrupted', ({ data, lastEventId }) => report(`${lastEventId}:${data}`));
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) report('closed'); };";

/// The runs of the process that is serving now.
type Process = Arc<Mutex<Runs>>;

async fn answer(State(process): State<Process>, parts: Parts) -> Response {
    let runs = process.lock().unwrap().clone();
    let answer = runs.answer(&RunKey::new("ann", "turn").unwrap(), &parts).await;
    answer.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

/// Starts an answer, which stalls after two words if it `is_half`, and opens a page that reads it.
async fn open(engine: Engine, is_half: bool) -> Option<(EnginePage, Process)> {
    let runs = Runs::new();
    let words = move || {
        stream! {
            yield Event::from("one");
            yield Event::from("two");
            if is_half {
                pending::<()>().next().await;
            }
            yield Event::from("end");
        }
    };
    _ = runs.start(&RunKey::new("ann", "turn").unwrap(), None, words).await.unwrap();
    let process = Process::new(Mutex::new(runs));
    let layer = SseLayer::new().retry(Duration::from_millis(100));
    let app = Router::new().route("/answer", get(answer)).layer(layer).with_state(process.clone());
    let mut page = EnginePage::open(engine, app, SCRIPT).await?;
    for word in ["one", "two"] {
        assert_eq!(page.next_report().await, word, "{engine:?}");
    }
    Some((page, process))
}

#[tokio::test]
async fn page_tells_half_an_answer_from_a_whole_one() {
    for engine in [Engine::ChromiumAlone, Engine::Firefox, Engine::WebKitGtk] {
        let Some((mut page, _)) = open(engine, false).await else { continue };
        for report in ["end", "closed"] {
            assert_eq!(page.next_report().await, report, "{engine:?}");
        }
        for is_killed in [false, true] {
            let (mut page, process) = open(engine, true).await.unwrap();
            if is_killed {
                // Another process takes over, which knows no run.
                *process.lock().unwrap() = Runs::new();
                page.relay.cut();
            } else {
                let runs = process.lock().unwrap().clone();
                runs.drain(Duration::ZERO).await;
            }
            for report in ["interrupted:", "closed"] {
                assert_eq!(page.next_report().await, report, "{engine:?}, killed: {is_killed}");
            }
        }
    }
}
