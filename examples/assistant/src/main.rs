//! cargo run --package tower-sse-assistant
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port, and `REDIS_URL` to share the
//! answers with other processes.

mod model;

use std::{env, io, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::stream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, Drain, Event, Heartbeat, SseLayer, StreamOptions,
    early_head::EarlyHeadLayer,
    hub::Hub,
    page,
    runs::{InvalidKey, RunKey, Runs},
    streams::{Streams, Subjects},
};
use tower_sse_redis::Redis;

use self::model::{Model, seconds};

/// The time that a shutdown gives answers to complete.
const GRACE: Duration = Duration::from_secs(60);
/// How much longer the streams of answers stay open.
const LEEWAY: Duration = Duration::from_secs(5);
/// The time that a shutdown may take.
const DEADLINE: Duration = Duration::from_secs(75);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (runs, hub) = match env::var("REDIS_URL") {
        Err(_) => (Runs::new(), Hub::new()),
        Ok(url) => {
            let redis = Redis::open(&url)?;
            let runs = Runs::connect(redis.runs("answers")).await?;
            (runs, Hub::connect(redis.broker("log-outs")).await?)
        }
    };
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, runs, &hub, Model::from_env()).await?)
}

async fn serve(listener: TcpListener, runs: Runs, hub: &Hub, model: Model) -> io::Result<()> {
    let shutdown = CancellationToken::new();
    let app = app(runs.clone(), Streams::follow(hub, "log-outs"), model, shutdown.clone());
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let drain = async {
        shutdown.cancelled().await;
        runs.drain(GRACE).await;
    };
    tokio::select! {
        (served, ()) = async { tokio::join!(server, drain) } => served,
        stopped = tower_sse::stop_on_signal(shutdown.clone(), DEADLINE) => stopped,
    }
}

#[derive(Clone)]
struct App {
    runs: Runs,
    streams: Streams,
    model: Model,
}

fn app(runs: Runs, streams: Streams, model: Model, shutdown: CancellationToken) -> Router {
    // Half the shortest time after which a proxy ends an idle response. A page waits for 10 seconds.
    let pause = (seconds("PROXY_TIMEOUT", 20.0) / 2).min(Duration::from_secs(5));
    let early = EarlyHeadLayer::new(pause)
        .when(|request| request.method != Method::DELETE)
        .late_event(|late| Some(Event::new().event("refused").data(late.status().as_str())));
    let layer = SseLayer::new()
        .for_pages()
        .heartbeat(Heartbeat::every(pause).for_pages())
        .streams(&streams)
        .shutdown(shutdown);
    // Only around the `POST`: no other request can start a run.
    let run = runs.layer(|request: &Request| Some(key(request.headers(), request.uri())));
    Router::new()
        .route("/answers/{turn}", post(ask).layer(run).get(attach).delete(stop))
        .route_layer(early)
        .route_layer(from_fn(check))
        .route("/log_out", post(log_out))
        .route("/", get(page))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .layer(layer)
        .with_state(App { runs, streams, model })
}

/// Admits users who are logged in, and notes whose streams a logout must close.
async fn check(subjects: Subjects, request: Request, next: Next) -> Response {
    let Some(user) = user(request.headers()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    subjects.add(format!("user:{user}"));
    next.run(request).await
}

/// Over HTTP/2, each cookie can come in a field of its own.
fn user(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = cookies.flat_map(|field| field.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix("user="))
}

/// Returns the key of an answer: its owner, and its path, in which the page has put a random name.
fn key(headers: &HeaderMap, uri: &Uri) -> Result<RunKey, InvalidKey> {
    RunKey::new(user(headers).unwrap_or_default(), uri.path())
}

async fn ask(State(app): State<App>, question: String) -> impl IntoResponse {
    // Not on the layer, where this would also keep endless streams open. The run records the
    // options, so the streams of `attach` get them too.
    let options = StreamOptions::new().drain(Drain::after(GRACE + LEEWAY));
    (options, app.model.answer(question).await)
}

async fn attach(State(app): State<App>, parts: Parts) -> Response {
    let Ok(key) = key(&parts.headers, &parts.uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match app.runs.answer(&key, &parts).await {
        Some(answer) if answer.status() != StatusCode::NOT_FOUND => answer.into_response(),
        // There's no answer, or its first words are lost. To an `EventSource`, a `404` looks like
        // the `204` after an answer.
        _ => {
            let gone = Event::new().event("gone").data("{}");
            tower_sse::response(stream::iter([gone])).into_response()
        }
    }
}

async fn stop(State(app): State<App>, parts: Parts) -> StatusCode {
    match key(&parts.headers, &parts.uri) {
        Ok(key) if app.runs.cancel(&key, None).await => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    }
}

/// Serves the page, with a cookie that stands for a log-in.
async fn page(headers: HeaderMap) -> Response {
    let page = Html(include_str!("page.html"));
    if user(&headers).is_some() {
        return page.into_response();
    }
    // From a cryptographic generator, so that nobody can compute another user's cookie.
    let user = rand::random::<u128>();
    let cookie = format!("user={user:032x}; HttpOnly; SameSite=Lax; Path=/");
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

/// Deletes the cookie, which stands for a session, and closes the user's streams everywhere.
async fn log_out(State(app): State<App>, headers: HeaderMap) -> Response {
    let subject = format!("user:{}", user(&headers).unwrap_or_default());
    // On a task, because axum drops the handler of a client that disconnects.
    let closed = tokio::spawn(async move { app.streams.close(subject).await }).await;
    match closed {
        Ok(Ok(_)) => {
            ([(header::SET_COOKIE, "user=; Max-Age=0; Path=/")], Redirect::to("/")).into_response()
        }
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
