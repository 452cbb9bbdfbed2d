use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{BoxError, SseLayer, StreamOptions};

use super::*;
use crate::runs::tests::memory_store::State;

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Sends a `POST` to the layers of a process, whose service gives `answer`.
async fn post(process: &Process, answer: Response<Body>) -> Response<Body> {
    let answer = Arc::new(Mutex::new(Some(answer)));
    let service = service_fn(move |_: Request<()>| {
        let answer = Arc::clone(&answer);
        async move {
            sleep(Duration::from_millis(500)).await;
            Ok::<_, Infallible>(answer.lock().unwrap().take().expect("one call"))
        }
    });
    let service = process.runs.layer(|_: &Request<()>| Some(Ok(key()))).layer(service);
    let service = SseLayer::new().layer(service);
    let response = service.oneshot(Request::post("/").body(()).unwrap()).await.unwrap();
    response.map(BodyExt::boxed_unsync)
}

fn events(texts: &'static [&'static str], options: StreamOptions) -> Response<Body> {
    let stream = stream::iter(texts).map(|text| Event::from(*text));
    let mut response =
        tower_sse::response(stream).map(|body| body.map_err(Into::into).boxed_unsync());
    response.extensions_mut().insert(options);
    response
}

fn json() -> Response<Body> {
    let body = Full::from("{}").map_err(|never| match never {}).boxed_unsync();
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn handlers_terminator_ends_the_answer_at_every_process() {
    let (one, other) = two().await;
    let options = StreamOptions::new().terminator("[DONE]");
    let (at_one, at_other) = tokio::join!(
        async { text(soon(post(&one, events(&["a", "b"], options))).await).await },
        async {
            sleep(Duration::from_millis(100)).await;
            text(soon(post(&other, json())).await).await
        }
    );
    assert!(at_one.ends_with("data: [DONE]\n\n"), "{at_one}");
    assert_eq!(at_one, at_other);
    let later = text(soon(post(&other, json())).await).await;
    assert_eq!(at_one, later);
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_stream_frees_the_key_for_requests_elsewhere() {
    for loses_pushes in [false, true] {
        let (one, other) = two().await;
        other.store.faults().loses_pushes = loses_pushes;
        let (first, second) = tokio::join!(soon(post(&one, json())), async {
            sleep(Duration::from_millis(100)).await;
            soon(post(&other, events(&["a"], StreamOptions::new()))).await
        });
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(text(first).await, "{}");
        assert!(text(second).await.contains("data: a\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_source_frees_the_key_everywhere() {
    let (one, other) = two().await;
    let runs = one.runs.clone();
    let panicking = tokio::spawn(async move {
        let start = || -> stream::Empty<Event> { panic!("the source panics") };
        _ = runs.start(&key(), None, start).await;
    });
    assert!(panicking.await.unwrap_err().is_panic());
    sleep(Duration::from_millis(10)).await;
    let (_source, stream) = source();
    assert!(other.runs.start(&key(), None, || stream).await.is_ok());
    assert_eq!(other.runs.stats().started, 1);
}

/// The server has an earlier state of the claim, or another program has changed it.
#[tokio::test(start_paused = true)]
async fn request_is_refused_if_a_claim_contradicts_the_end_of_its_run() {
    for state in [State::Running, State::Ended(Outcome::Completed)] {
        for is_read in [true, false] {
            let (one, other, _source, client) = watched(&["a"]).await;
            let _client = is_read.then_some(client);
            assert!(other.cancel().await);
            sleep(Duration::from_secs(1)).await;
            one.store.server().claims.get_mut(&key()).unwrap().state = state;
            other.store.server().commands.clear();
            other.store.faults().delay = Duration::from_millis(1);
            let status = soon(post(&other, json())).await.status();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{state:?}, {is_read}");
            assert_eq!(other.store.server().commands["look"], 2, "{state:?}, {is_read}");
        }
    }
}
