//! cargo run --example runs --all-features
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port.
//!
//! A page asks a language model, which answers word by word. Cut the network, reload the page or
//! open a second tab: the answer continues without a missing or duplicate word. The page shows that
//! the handler was called, and the tokens were paid for, only once.
//!
//! The layer of [`Runs`] makes the handler's answer a run. `GET` attaches a page to it, and
//! `DELETE` stops it. Runs are in memory: after a restart, a page that reconnects gets `404`, and
//! the handler is not called again. The example `runs_cluster` is this one on several
//! processes.

mod ledger;
pub(crate) mod model;
mod network;

use std::{env, io, process, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequestParts, State},
    http::{
        HeaderMap, Request, StatusCode, Uri,
        header::{COOKIE, SET_COOKIE},
        request::Parts,
    },
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::StreamExt;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Drain, Event, LastEventId, SseLayer, StreamOptions,
    hub::Hub,
    page,
    runs::{InvalidKey, RunEnd, RunKey, Runs, RunsBuilder},
};

use self::{ledger::Ledger, model::Model};

/// The time that a shutdown gives to unfinished answers.
const GRACE: Duration = Duration::from_secs(10);
/// How much longer streams stay open, so that it is the run that ends them.
const LEEWAY: Duration = Duration::from_secs(5);
/// The time that a shutdown gives connections to end.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> io::Result<()> {
    let runs = settings().build();
    run(runs, Hub::new()).await
}

pub(crate) fn settings() -> RunsBuilder {
    // The key is not printed, because its owner lets a page attach.
    Runs::builder().on_end(|end: &RunEnd| println!("{} words, {}", end.events, end.outcome))
}

/// Serves until SIGTERM or ctrl-c. The hub carries the figures that the page shows.
pub(crate) async fn run(runs: Runs, hub: Hub) -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let quota = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let model = Model { pace: Duration::from_millis(120), quota };
    let demo = Demo::new(model, runs, hub);
    let shutdown = CancellationToken::new();
    tokio::spawn(tower_sse::stop_on_signal(shutdown.clone(), Duration::ZERO));
    serve(listener, demo, shutdown).await
}

/// Serves until `shutdown` is cancelled. Unfinished answers have a grace period, in which every
/// page gets the whole answer. The deadline is for clients that do not read.
pub(crate) async fn serve(
    listener: TcpListener,
    demo: Demo,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let layer = SseLayer::new()
        .for_pages()
        .retry(Duration::from_millis(200))
        .terminator(Event::new().event("done").data("the answer is complete"))
        .shutdown(shutdown.clone());
    let runs = demo.runs.clone();
    let server = axum::serve(listener, app(demo, layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let drain = async {
        shutdown.cancelled().await;
        runs.drain(GRACE).await;
    };
    let too_late = async {
        shutdown.cancelled().await;
        sleep(DEADLINE).await;
    };
    tokio::select! {
        (served, ()) = async { tokio::join!(server, drain) } => served,
        () = too_late => Ok(()),
    }
}

/// The state that the handlers share.
#[derive(Clone)]
pub(crate) struct Demo {
    pub(crate) runs: Runs,
    pub(crate) ledger: Ledger,
    model: Model,
}

impl Demo {
    pub(crate) fn new(model: Model, runs: Runs, hub: Hub) -> Self {
        Self { runs, ledger: Ledger::new(hub), model }
    }
}

fn app(demo: Demo, layer: SseLayer) -> Router {
    let key = |request: &Request<Body>| key(request.headers(), request.uri());
    let ask = post(ask).layer(demo.runs.layer(key));
    Router::new()
        .route("/", get(page))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        // The layer is only around `ask`, because it treats every request with the key as a client
        // that attaches.
        .route("/answers/{turn}", ask.get(attach).delete(stop))
        .route("/answers/{turn}/bill", get(bill))
        .route("/answers/{turn}/cut", post(cut))
        .layer(layer)
        .layer(middleware::from_fn_with_state(demo.ledger.clone(), network::pass))
        .with_state(demo)
}

/// Returns the key of the answer that a request is about. The page chooses the key's name, so the
/// key needs an owner: a page with another cookie finds no such run. A real application takes the
/// owner from an authenticated session.
fn key(headers: &HeaderMap, uri: &Uri) -> Option<Result<RunKey, InvalidKey>> {
    let turn = uri.path().strip_prefix("/answers/")?.split('/').next()?;
    Some(RunKey::new(visitor(headers)?, turn))
}

/// Over HTTP/2, each cookie can come in a field of its own.
fn visitor(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = cookies.flat_map(|field| field.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix("visitor="))
}

/// The key as an extractor.
struct Turn(RunKey);

impl<S: Sync> FromRequestParts<S> for Turn {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        match key(&parts.headers, &parts.uri) {
            Some(key) => key.map(Self).map_err(|_| StatusCode::BAD_REQUEST),
            None => Err(StatusCode::NOT_FOUND),
        }
    }
}

async fn page(headers: HeaderMap) -> Response {
    let page = Html(include_str!("page.html"));
    if visitor(&headers).is_some() {
        return page.into_response();
    }
    // From a cryptographic generator, so that nobody can compute another visitor's cookie.
    let visitor = rand::random::<u128>();
    let cookie = format!("visitor={visitor:032x}; HttpOnly; SameSite=Strict; Path=/");
    ([(SET_COOKIE, cookie)], page).into_response()
}

/// Asks the model. The layer makes the answer a run, whose options apply to every page that
/// attaches. An unread request body would hide for a while that the page has left.
async fn ask(State(demo): State<Demo>, Turn(key): Turn, _question: String) -> impl IntoResponse {
    println!("the handler is called");
    demo.ledger.count_call(&key).await;
    let bill = (demo.ledger, key);
    let tokens = demo.model.generate().then(move |token| {
        let (ledger, key) = bill.clone();
        async move {
            ledger.count_token(&key).await;
            token
        }
    });
    // Not on the layer, where it would also keep open streams that never end.
    let options = StreamOptions::new().drain(Drain::after(GRACE + LEEWAY));
    (options, tower_sse::response(tokens.map(Event::from)))
}

/// Attaches a page to its answer.
async fn attach(State(demo): State<Demo>, Turn(key): Turn, parts: Parts) -> Response {
    match demo.runs.answer(&key, &parts).await {
        Some(answer) => {
            println!("a page attaches");
            answer.into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Stops an answer, whichever page asked for it.
async fn stop(State(demo): State<Demo>, Turn(key): Turn, last: Option<LastEventId>) -> StatusCode {
    match demo.runs.cancel(&key, last).await {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

async fn bill(State(demo): State<Demo>, Turn(key): Turn) -> impl IntoResponse {
    let run = demo.runs.get(&key).await;
    let outcome = match &run {
        Some(run) => run.outcome().map_or("running", |outcome| outcome.as_str()),
        None => "unknown",
    };
    Json(demo.ledger.bill(&key, outcome))
}

async fn cut(State(demo): State<Demo>, Turn(key): Turn) -> StatusCode {
    demo.ledger.cut(&key).await;
    StatusCode::NO_CONTENT
}
