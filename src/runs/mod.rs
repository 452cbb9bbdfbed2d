//! Answers that outlive their client's connection: make any event stream resumable with one layer
//! (feature `runs`).
//!
//! A run is one event stream returned by a service. A separate task drives it and records its
//! events. Clients attach to it, leave, reload, come back by `Last-Event-ID`, or open it in a
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
//! With the layer, a [`RunKey`] must name one answer, such as one turn. With [`Runs::replace`] it
//! can name a whole chat, whose current turn is the run. The layer suits keys in the URL or a
//! header. Where the key is in the body, or names a chat, a handler uses [`Runs::start`] or
//! [`Runs::replace`].
//!
//! A key has an owner. Take the owner from an authenticated session, never from a value that the
//! client chooses. A client of another owner cannot reach the run, even with the same name and a
//! valid id. Check permissions outside of the layer, because only the request that starts a run
//! reaches the handler.
//!
//! The layer handles every request with a key, except `HEAD` and `OPTIONS`. Put a route that stops
//! a run outside of the layer, or return no key for `DELETE`.
//!
//! # Clients
//!
//! - A client without a last event id gets all events of a run that is running or has completed. If
//!   the run failed or was cancelled, its key is free: the request makes the call again.
//! - A client with an id of the run receives the events after that id. With any other id it gets
//!   `404`, and the service is not called.
//! - A disconnecting client does not stop the run. [`Runs::cancel`] stops a run, and a run is
//!   abandoned after [some time](RunsBuilder::abandon_after) without clients.
//!
//! The table of all answers is at [`Runs`](Runs#answers). How a client's stream ends depends on the
//! [`Outcome`].
//!
//! # Runs without the layer
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
//! // DELETE: stops the run, unless the request's id is from an earlier turn.
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
//! - Comments and the source's ids are not recorded. The last line of each event is an id,
//!   `epoch-sequence`. No two runs share an epoch.
//! - A `retry` line goes into the next event. An incomplete event at the end is dropped, as clients
//!   drop it.
//!
//! # Memory and back-pressure
//!
//! [`RunsBuilder`] limits the size of each run, the memory of all runs, and the number of running
//! runs, in total and per owner. It also sets how long runs are kept and when they are abandoned.
//! Once the record is full, the source waits for the fastest attached client. Without clients it
//! never waits, and the oldest events are evicted.
//!
//! # The order of layers
//!
//! - Inside of [`SseLayer`](crate::SseLayer), which adds heartbeats, limits, close reports and
//!   endings to each client's stream. Without it, clients of a cancelled run see a failure.
//! - Inside of layers that add headers to every response, such as CORS, because only the first
//!   client receives the handler's headers. Inside of compression, since a compressed answer is not
//!   recorded.
//! - Outside of layers that set task-locals for the handler, because the call runs on another task.
//!   The span of the request that made the call is carried over.
//!
//! # Shutdown
//!
//! Run [`Runs::drain`] concurrently with the server's graceful shutdown, with a grace period as
//! long as an answer takes: every client gets its whole answer, or sees its body fail. The stream
//! of an `EventSource` ends at once by default. To let it wait for the run, set
//! [`StreamOptions::drain`](crate::StreamOptions::drain) in the handler's response to
//! [`Drain::after`](crate::Drain::after).
//!
//! Runs are kept in the memory of one process. After a restart, all keys are unknown: a client with
//! an id gets `404`, and the call is not made again.

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
