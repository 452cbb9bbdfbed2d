//! cargo run --package tower-sse-runs-quickstart
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port, and `OPENAI_API_KEY` to ask a
//! real model.

mod model;

use std::{env, io, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Response},
    routing::{MethodRouter, get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    SseLayer,
    runs::{InvalidKey, RunKey, Runs},
};

use self::model::Model;

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|io| _ = io.set_nodelay(true));
    let model = Model::from_env();
    let ask = post(async move |question: String| model.answer(question).await);
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(Runs::new(), ask, layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn app(runs: Runs, ask: MethodRouter<Runs>, layer: SseLayer) -> Router {
    // Only around the `POST`: no other request can start a run.
    let run = runs.layer(|request: &Request| Some(key(request.headers(), request.uri())));
    Router::new()
        .route("/", get(page))
        .route("/answers/{turn}", ask.layer(run).get(attach).delete(stop))
        .layer(layer.retry(Duration::from_millis(500)))
        .with_state(runs)
}

/// Returns the key of an answer: its owner, and its path, in which the page has put a random name.
fn key(headers: &HeaderMap, uri: &Uri) -> Result<RunKey, InvalidKey> {
    RunKey::new(visitor(headers).unwrap_or_default(), uri.path())
}

/// Over HTTP/2, each cookie can come in a field of its own.
fn visitor(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = cookies.flat_map(|field| field.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix("visitor="))
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
