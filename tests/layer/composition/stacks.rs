//! Several layers in one `ServiceBuilder` or tuple. Each of them sees the body of the next one,
//! while axum boxes the bodies between two calls of `Router::layer`.

use axum::extract::Request;
use tower_http::timeout::TimeoutLayer;
use tower_sse::filter::{self, FilterLayer, Verdict};
use tower_sse::{early_head::EarlyHeadLayer, runs::RunKey, runs::Runs};

use super::{application::application, application::call, *};
use crate::*;

fn timeout_layer() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND)
}

/// Asserts that events pass, and that the layers answer by themselves: `CorsLayer` a preflight, and
/// `TimeoutLayer` a request that gets no answer in time.
async fn assert_answers((app, mut sources): (Router, Sources)) {
    let response = call(&app, get_request("/events", &[])).await;
    assert_streams(response, sources.next().await).await;

    let mut preflight = get_request("/events", &[("origin", "https://page.example")]);
    *preflight.method_mut() = Method::OPTIONS;
    let response = call(&app, preflight).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read_to_end(response.into_body()).await.0, "");

    let response = call(&app, get_request("/never", &[])).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(read_to_end(response.into_body()).await.0, "");
    assert!(sources.is_empty());
}

#[tokio::test(start_paused = true)]
async fn layers_that_answer_by_themselves_compose_in_one_builder() {
    let (app, sources) = application();
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CorsLayer::permissive())
        .layer(SseLayer::new())
        .layer(timeout_layer());
    assert_answers((app.layer(stack), sources)).await;

    let (app, sources) = application();
    let stack = (timeout_layer(), CatchPanicLayer::new(), CompressionLayer::new(), SseLayer::new());
    assert_answers((app.layer(CorsLayer::permissive()).layer(stack), sources)).await;

    let (app, sources) = application();
    let stack = ServiceBuilder::new()
        .layer(SseLayer::new())
        .layer(CorsLayer::permissive())
        .layer(timeout_layer());
    assert_answers((app.layer(stack), sources)).await;
}

/// Each layer of the crate is directly inside of layers whose bodies must have a `Default`.
#[tokio::test(start_paused = true)]
async fn each_layer_of_the_crate_composes_in_one_builder() {
    let around = || ServiceBuilder::new().layer(CorsLayer::permissive()).layer(timeout_layer());
    let filters = FilterLayer::new(|_: &Request| Some(filter::from_fn(|_| Verdict::Pass)));
    let runs = Runs::new().layer(|_: &Request| None);
    let early_heads = EarlyHeadLayer::new(60 * SECOND).when(|_| true);

    let (app, sources) = application();
    let stack = ServiceBuilder::new().layer(SseLayer::new()).layer(around()).layer(early_heads);
    assert_answers((app.layer(stack), sources)).await;
    let (app, sources) = application();
    let stack = ServiceBuilder::new().layer(SseLayer::new()).layer(around()).layer(filters);
    assert_answers((app.layer(stack), sources)).await;
    let (app, sources) = application();
    let stack = ServiceBuilder::new().layer(SseLayer::new()).layer(around()).layer(runs);
    assert_answers((app.layer(stack), sources)).await;
}

/// Without axum, the body is that of the program's stream, or of a run.
#[tokio::test(start_paused = true)]
async fn bodies_of_handlers_compose_with_layers_that_answer_by_themselves() {
    let never = async |_: http::Request<()>| {
        pending::<()>().await;
        Ok::<_, Infallible>(tower_sse::response(stream::empty::<Event>()))
    };
    let stack = ServiceBuilder::new().layer(SseLayer::new()).layer(timeout_layer());
    let response = stack.service_fn(never).oneshot(http::Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(read_to_end(response.into_body()).await.0, "");

    let missing = Runs::new();
    let answer = async |request: http::Request<()>| {
        pending::<()>().await;
        let key = RunKey::new("owner", "7").unwrap();
        Ok::<_, Infallible>(missing.answer(&key, &request.into_parts().0).await.unwrap())
    };
    let stack = ServiceBuilder::new().layer(SseLayer::new()).layer(timeout_layer());
    let response = stack.service_fn(answer).oneshot(http::Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(read_to_end(response.into_body()).await.0, "");
}
