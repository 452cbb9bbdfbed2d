//! Answers that outlive their client's connection: make any event stream resumable with one layer
//! (feature `runs`).
//!
//! A run is one answer of a service that is an event stream, made on a task of its own and
//! recorded. Clients attach to it, leave, reload, come back by `Last-Event-ID`, or open it in a
//! second tab. None of them owns it, so the answer of a language model is generated, and paid for,
//! once.
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::post};
//! use futures_util::stream;
//! use http::Request;
//! use tower_sse::{Event, SseLayer, runs::{RunKey, Runs}};
//!
//! async fn chat() -> impl IntoResponse {
//!     tower_sse::response(stream::iter(["Hel", "lo"].map(Event::from)))
//! }
//!
//! let runs = Runs::new();
//! let key = |request: &Request<_>| {
//!     let user = request.headers().get("x-user")?.to_str().ok()?; // authenticated by a layer outside
//!     RunKey::new(user, request.uri().path())
//! };
//! let app: Router = Router::new()
//!     .route("/chat/{turn}", post(chat).get(chat))
//!     .layer(runs.layer(key))
//!     .layer(SseLayer::new());
//! ```
//!
//! The handler is unchanged. It may return a stream of this crate, axum's own `Sse`, or the bytes of
//! an upstream. The page [recipes] shows what client libraries need, and when a
//! [hub](crate::hub) is the better choice.
//!
//! # Keys
//!
//! A [`RunKey`] names one answer: one turn, and never a whole conversation. The layer suits keys in
//! the URL or a header. Where the key is in the body, or names a chat, a handler uses
//! [`Runs::start`] or [`Runs::replace`].
//!
//! A key has an owner. Take it from an authenticated session, and from nothing that the client
//! chooses: a client with another owner finds no run under the same name, whatever id it sends.
//! Check permissions outside of the layer, because only the request that starts a run reaches the
//! handler.
//!
//! The layer attaches the client of any request with a key, whatever its method but `HEAD` and
//! `OPTIONS`. Put a route that stops a run outside of it, or return no key for `DELETE`.
//!
//! # Clients
//!
//! - A client without a last event id gets all events of a run that is running or has completed. If
//!   the run failed or was cancelled, its key is free: the request makes the call again.
//! - A client with an id of the run continues after it. With any other id it gets `404`, because
//!   half an answer is of no use to it, and the call is not made again.
//! - A client that leaves stops nothing. [`Runs::cancel`] stops a run, and a run is abandoned after
//!   [some time](RunsBuilder::abandon_after) without clients.
//!
//! The table of all answers is at [`Runs`](Runs#answers). How a client's stream ends depends on the
//! [`Outcome`].
//!
//! # Handlers of their own
//!
//! ```
//! use axum::{extract::State, response::{IntoResponse, Response}};
//! use http::{StatusCode, request::Parts};
//! use tower_sse::{Event, LastEventId, runs::{RunKey, Runs}};
//! # use futures_util::{Stream, stream};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//! # fn chat_of(parts: &Parts) -> Option<RunKey> { RunKey::new("user", parts.uri.path()) }
//!
//! // POST: a new turn replaces the one before.
//! async fn ask(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let Some(key) = chat_of(&parts) else { return StatusCode::BAD_REQUEST.into_response() };
//!     match runs.replace(&key, tokens).await {
//!         Ok(run) => run.answer(&parts).await.into_response(),
//!         Err(error) => error.answer(&parts).into_response(),
//!     }
//! }
//!
//! // GET: resume, or 204 if the chat is idle.
//! async fn resume(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let Some(key) = chat_of(&parts) else { return StatusCode::BAD_REQUEST.into_response() };
//!     match runs.answer(&key, &parts).await {
//!         Some(answer) => answer.into_response(),
//!         None => StatusCode::NO_CONTENT.into_response(),
//!     }
//! }
//!
//! // DELETE: stop, unless the id is that of an earlier turn.
//! # #[cfg(feature = "axum")]
//! async fn stop(State(runs): State<Runs>, last: Option<LastEventId>, parts: Parts) -> StatusCode {
//!     match chat_of(&parts) {
//!         Some(key) if runs.cancel(&key, last).await => StatusCode::NO_CONTENT,
//!         _ => StatusCode::NOT_FOUND,
//!     }
//! }
//! ```
//!
//! # What is recorded
//!
//! - Each block with a `data` or `event` line is an event, however the source divides its bytes.
//! - Comments and the source's ids are not recorded. Each event gets an id of the run as its last
//!   line, in the form `epoch-sequence`, which no other run has.
//! - A `retry` line goes into the next event. An incomplete event at the end is dropped, as clients
//!   drop it.
//!
//! # Memory and back-pressure
//!
//! [`RunsBuilder`] has the limits: bytes of a run, memory of all runs, running runs, those of one
//! owner, and times. While a client is attached, a source that is faster than the fastest client
//! waits for it once the record is full. While none is, it never waits, and the record keeps the
//! newest events.
//!
//! # Where it goes
//!
//! - Inside of [`SseLayer`](crate::SseLayer), which gives each attached client heartbeats, limits,
//!   reports and its way of ending. Without it, clients of a cancelled run see a failure.
//! - Inside of layers that add headers to every response, such as CORS, as only the first client
//!   gets the head of the call. Inside of compression, since a compressed answer is not recorded.
//! - Outside of layers that set task-locals for the handler, because the call runs on another task.
//!   The span of the request that made the call is carried over.
//!
//! # Shutdown
//!
//! Give [`Runs::drain`] the time that an answer needs, beside the server's graceful shutdown: every
//! client gets its whole answer, or sees its body fail. The stream of an `EventSource` ends at once
//! by default. To let it wait for the run, set
//! [`StreamOptions::drain`](crate::StreamOptions::drain) in the handler's response to
//! [`Drain::after`](crate::Drain::after).
//!
//! Runs are in this process. After a restart, all keys are unknown: a client with an id gets `404`,
//! and the call is not made again.

mod answer;
mod attachment;
mod body;
mod builder;
mod call;
mod counters;
mod cutter;
mod deferred;
mod error;
mod key;
mod layer;
mod options;
mod outcome;
mod producer;
mod reader;
mod readers;
pub mod recipes;
mod record;
mod recorder;
mod registry;
mod run;
#[allow(clippy::module_inception)]
mod runs;
mod service;
mod shared;
mod span;
mod start;
mod state;
mod sweeper;
mod task;

pub use self::{
    attachment::Attachment,
    body::{AnswerBody, RunBody},
    builder::RunsBuilder,
    counters::RunsStats,
    error::{RunError, StartError},
    key::RunKey,
    layer::RunLayer,
    outcome::{Outcome, RunEnd},
    run::Run,
    runs::Runs,
    service::{RunFuture, RunService},
};
