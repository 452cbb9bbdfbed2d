//! cargo run --example runs_quickstart --features axum,runs
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port.

use std::{env, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Response},
    routing::{MethodRouter, get, post},
    serve::ListenerExt,
};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use tower_sse::{
    BoxError, Event, SseLayer,
    runs::{InvalidKey, RunKey, Runs},
};

const ANSWER: &str = "The server makes this answer on a task of its own, and records every word. \
    A page that reloads gets all of them, and a second tab reads along. The model is asked once. \
    Close the page, and come back later for the rest of the answer.";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|io| _ = io.set_nodelay(true));
    axum::serve(listener, app(Runs::new(), post(ask))).await?;
    Ok(())
}

pub(crate) fn app(runs: Runs, ask: MethodRouter<Runs>) -> Router {
    // Only around the `POST`: no other request can start a run.
    let layer = runs.layer(|request: &Request| Some(key(request.headers(), request.uri())));
    Router::new()
        .route("/", get(page))
        .route("/answers/{turn}", ask.layer(layer).get(attach).delete(stop))
        .layer(SseLayer::new().retry(Duration::from_millis(500)))
        .with_state(runs)
}

/// Asks the model, here a stand-in. The handler knows nothing of runs.
async fn ask() -> impl IntoResponse {
    tower_sse::response(stream::iter(ANSWER.split_inclusive(' ')).then(async |word| {
        sleep(Duration::from_millis(150)).await;
        Event::from(word)
    }))
}

/// Returns the key of an answer: its owner, and its path, in which the page has put a random name.
fn key(headers: &HeaderMap, uri: &Uri) -> Result<RunKey, InvalidKey> {
    RunKey::new(visitor(headers).unwrap_or_default(), uri.path())
}

fn visitor(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("visitor="))
}

async fn attach(State(runs): State<Runs>, parts: Parts) -> Response {
    let Ok(key) = key(&parts.headers, &parts.uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match runs.answer(&key, &parts).await {
        Some(answer) => answer.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn stop(State(runs): State<Runs>, parts: Parts) -> StatusCode {
    match key(&parts.headers, &parts.uri) {
        Ok(key) if runs.cancel(&key, None).await => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    }
}

/// Serves the page, with a cookie that stands for a log-in.
async fn page(headers: HeaderMap) -> Response {
    let page = Html(include_str!("page.html"));
    if visitor(&headers).is_some() {
        return page.into_response();
    }
    // From a cryptographic generator, so that nobody can compute another visitor's cookie.
    let visitor = rand::random::<u128>();
    let cookie = format!("visitor={visitor:032x}; HttpOnly; SameSite=Lax; Path=/");
    ([(header::SET_COOKIE, cookie)], page).into_response()
}
