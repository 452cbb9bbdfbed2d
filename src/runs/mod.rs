//! Event streams that outlive their client's connection: one layer makes the streams of any service
//! resumable (feature `runs`).
//!
//! A run is one event stream, which a service returns or the program starts with [`Runs::start`]. A
//! separate task drives the stream and records its events. A reloaded page, a second tab, and a
//! client that reconnects with `Last-Event-ID` can all attach to the run. The run outlives their
//! connections, so the answer of a language model is generated and paid for only once. It does not
//! outlive its process: if that dies, the run is interrupted.
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
//!     let user = request.headers().get("x-user")?.to_str().ok()?; // set by an outer layer
//!     Some(RunKey::new(user, request.uri().path()))
//! };
//! let app: Router = Router::new()
//!     .route("/chat/{turn}", post(chat))
//!     .layer(runs.layer(key))
//!     .layer(SseLayer::new());
//! ```
//!
//! A client that repeats its `POST` gets the same answer, unless the run failed, was stopped or is
//! no longer kept. The [recipe for `EventSource`](crate::guide::runs_clients#eventsource) adds a
//! `GET` route that attaches clients to a run and never starts one.
//!
//! The handler behind the layer needs no change. It can return a stream of this crate, axum's own
//! `Sse`, or the bytes of [an upstream](crate::guide::upstreams#bytes-filter-messages-or-run). The
//! page on [clients](crate::guide::runs_clients) shows what client libraries need, and [a
//! table](#a-hub-or-a-run) shows when a [hub](crate::hub) is the better choice.
//!
//! # Keys
//!
//! Requests with the same [`RunKey`] get the same run. With the layer, a key must name one answer,
//! such as one turn of a chat. With [`Runs::replace`], a key can name a whole chat, and the run is
//! the current turn.
//!
//! Use the layer if the key is in the URL or a header. If the key is in the body, the handler calls
//! [`Runs::start`] or [`Runs::replace`] instead. If the answer comes from an upstream that can
//! refuse, the handler calls [`Runs::start_with`]: this method returns a refusal, such as a `429`,
//! without recording it. `start_with` never replaces a run that is running or has completed: to
//! replace a running one, cancel it first.
//!
//! A key consists of a name and, unless it is [shared](RunKey::shared), an owner. Take the owner
//! from an authenticated session, never from a value that the client chooses. A client of another
//! owner cannot reach the run, even with the same name and a valid id. Check permissions in an
//! outer layer, not in the handler, because only the request that starts a run reaches the handler.
//!
//! The layer handles every request with a key, except `HEAD` and `OPTIONS`. If a route stops runs,
//! keep the route outside of the layer, or return no key for its requests.
//!
//! # Clients
//!
//! - With the layer, a client without a last event id gets all events of a run that is running
//!   or has completed. If the run ended in any other way, for example by a failure, the client's
//!   request starts a new run. From then on, requests with ids of the old run get `404`.
//! - A client with an id of the run gets the events after that id. With any other id it gets `404`,
//!   and no run is started. An `EventSource` with such an id gets [`interrupted`](#half-an-answer).
//! - If the next event that a client needs was evicted from memory, the client gets this answer
//!   too, or, if it is already attached, its body fails. A run that is still running evicts events
//!   only after it has reached its [size limit](RunsBuilder::retention).
//! - A run does not stop when a client disconnects. The program can [cancel](Runs::cancel) it, and
//!   it is abandoned once it has had no client for [`abandon_after`](RunsBuilder::abandon_after).
//!
//! [`Runs`](Runs#answers) has the table of all answers. [`Outcome`] documents how the clients'
//! streams end.
//!
//! # Half an answer
//!
//! A page cannot see why its `EventSource` was stopped: the `204` at the end of a whole answer and
//! a `404` are the same `error` event. So if the page's answer is incomplete, and the server cannot
//! send the rest, an event precedes that error: its name and id are `interrupted`, and its data is
//! empty. The page receives it once, because an `EventSource` with this id gets `204`.
//!
//! - The event ends the open streams of a run that failed or was abandoned or interrupted. Without
//!   [`SseLayer`](crate::SseLayer), the body fails, and the event comes after the reconnection.
//! - An `EventSource` also gets the event if its id cannot be resumed. Its run may have died with a
//!   process that had not exported the newest events, or may no longer be kept.
//! - In open streams, the event of [`on_error`](crate::SseLayer::on_error) takes its place, with
//!   the same id.
//! - A run that the program cancels sends no such event. [`Runs::cancel_with`] sends one of yours.
//!
//! Clients of other kinds are not told by an event: their bodies fail, or they get `404`.
//!
//! # Runs without the layer
//!
//! ```
//! use axum::{extract::State, response::{IntoResponse, Response}};
//! use http::{StatusCode, request::Parts};
//! use tower_sse::{Event, LastEventId, runs::{InvalidKey, RunKey, Runs}};
//! # use futures_util::{Stream, stream};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//! # fn chat_of(parts: &Parts) -> Result<RunKey, InvalidKey> {
//! #     RunKey::new("user", parts.uri.path())
//! # }
//!
//! // POST: starts a turn, which replaces the previous one. A client that reconnects by repeating its
//! // POST with an id gets the rest of its turn.
//! async fn ask(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let Ok(key) = chat_of(&parts) else { return StatusCode::BAD_REQUEST.into_response() };
//!     match runs.replace(&key, &parts, tokens).await {
//!         Ok(run) => run.answer(&parts).await.into_response(),
//!         Err(error) => error.answer(&parts).into_response(),
//!     }
//! }
//!
//! // GET: resumes the current turn; 204 if there is no turn to resume.
//! async fn resume(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let Ok(key) = chat_of(&parts) else { return StatusCode::BAD_REQUEST.into_response() };
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
//!         Ok(key) if runs.cancel(&key, last).await => StatusCode::NO_CONTENT,
//!         _ => StatusCode::NOT_FOUND,
//!     }
//! }
//! ```
//!
//! # What is recorded
//!
//! The source of a run is the stream that the service returns.
//!
//! - Each block of lines that contains a `data` or `event` line is recorded as one event. It does
//!   not matter how the source divides its bytes into frames.
//! - Comments and the source's ids are not recorded. The last line of each recorded event is an id
//!   of the form `epoch-sequence`, which the run assigns. No two runs of a key share an epoch.
//! - A `retry` line in a block of its own becomes part of the next event. If the source ends inside
//!   an event, the incomplete event is dropped, because clients would ignore it.
//!
//! # Memory and back-pressure
//!
//! [`RunsBuilder`] limits the size of each run. It also limits the memory of runs and the number of
//! running runs, both in total and per owner. Other options set how long runs are kept after their
//! end, and when runs without clients are abandoned. While clients are attached, a run that has
//! reached its size limit evicts only events that the fastest client has read. If that client has
//! read none of the kept events, the source waits. If the next event of a slower client is evicted,
//! the body of that client fails. While no client is attached, a run at its size limit evicts its
//! oldest events, and the source never waits. A run starts only if the memory limit has room for
//! this run and all running runs at their maximum size. Otherwise, the request is refused.
//!
//! # The order of layers
//!
//! Put the [`RunLayer`]:
//!
//! - Inside of [`SseLayer`](crate::SseLayer), which adds heartbeats, limits and close reports to
//!   each client's stream, and decides how the stream ends. Without `SseLayer`, the body of each
//!   client fails when the run is cancelled, instead of ending cleanly.
//! - Inside of layers that add headers to every response, such as CORS, because headers that are
//!   added inside of the `RunLayer` reach only the first client.
//! - Inside of compression, because a compressed answer is not recorded.
//! - Outside of layers that set task-locals for the handler, because the call runs on another task.
//!   The call still runs in the tracing span of its request.
//!
//! If an `SseLayer` inside of the `RunLayer` ends the stream early, for example at its maximum age,
//! the run fails.
//!
//! # Shutdown
//!
//! Run [`Runs::drain`] concurrently with the server's graceful shutdown, with a grace period that
//! is long enough for an answer. By default, the shutdown of `SseLayer` ends the streams of `GET`
//! requests at once. To keep these streams open, answer with
//! `StreamOptions::new().drain(Drain::after(grace + Duration::from_secs(5)))`, where `grace` is the
//! grace period of [`Runs::drain`]. Every client then gets its whole answer or, if the answer takes
//! longer than `grace`, a body that fails. The page on [shutdown](crate::guide::shutdown#runs) has
//! the code.
//!
//! Without a [store](#several-processes), runs are kept in the memory of one process. After a
//! restart, all keys are unknown: a request with a last event id gets `404`, and does not call the
//! service.
//!
//! # Several processes
//!
//! With [`Runs::connect`], processes share their runs through a [store](RunStore). Every process
//! can then attach new and resuming clients to any run, and can
//! [cancel](Runs::cancel_with) or replace the run. Requests with the same key call
//! the service only once, even if they reach different processes. The *run's process* is the one
//! that called the service. It drives the stream, and exports the events to the store. If it exits
//! before the answer is complete, the answer is interrupted. If any other process exits, the answer
//! goes on.
//!
//! - Each request with a key takes one round trip to the store. A request that starts a run takes
//!   two. The first request that a process receives for a run of another process takes several.
//!   Therefore put the layer inside of layers that authenticate and limit requests.
//! - While a client of another process reads a run, the run's events are exported at once, or as
//!   soon as the store has acknowledged the previous export. If many events are due, the process
//!   sends several together, and waits up to 4 milliseconds before the next export. If no client of
//!   another process reads a run, the run is exported about once a second, and when it ends.
//! - If the run's process dies, the response bodies of clients that read the run through another
//!   process fail.
//!   [`RedisRuns::lease`](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.RedisRuns.html#method.lease)
//!   documents how soon they fail. If these clients repeat their requests without an id, the first
//!   request starts a new run, and the others join it. If a process has had no contact with the
//!   store for one *lease* period, other processes can declare it dead.
//! - [`on_end`](RunsBuilder::on_end) is called by the run's process. If that process died, another
//!   one calls its own `on_end` with [`Interrupted`](Outcome::Interrupted), within two lease periods
//!   and whether or not a client asks for the run. It can take a quarter of a period longer if all
//!   other processes connected to the store less than two periods ago. If the process that makes the
//!   report dies or loses the store at that moment, another one makes it again some periods later.
//!   A run that ends while its process cannot reach the store can be reported twice too. Both
//!   reports have the same [`RunEnd::id`].
//! - [`max_running`](RunsBuilder::max_running),
//!   [`max_running_per_owner`](RunsBuilder::max_running_per_owner),
//!   [`max_memory`](RunsBuilder::max_memory),
//!   [`max_memory_per_owner`](RunsBuilder::max_memory_per_owner), [`Runs::stats`] and
//!   [`Runs::drain`] apply to each process separately. `max_memory` also limits the memory that the
//!   runs of a process take in the store.
//! - A source waits only for clients of its own process. If a client of another process falls
//!   behind by more than the [size limit](RunsBuilder::retention), the client's body fails.
//! - Clients of other processes get the handler's [`StreamOptions`](crate::StreamOptions), except
//!   for closures, `max_age` and `end_when`. Set closures on the [`SseLayer`](crate::SseLayer)
//!   instead.
//!
//! If the store loses its data, the processes restore their running runs, and those that ended in
//! the last 10 seconds. Other ended runs are lost: a repeated request without an id starts a new
//! run. For one lease period after the loss, the store can lack a run that its process has not
//! restored yet. During this time, a process therefore refuses a request if the store has no run
//! with the request's key and none is running in this process: [`Runs::start`] returns
//! [`StartError::Unavailable`]. For a request without an id, [`Runs::replace`] returns this error
//! whenever the store has no run with the key, even if one is running in this process.
//!
//! While the store cannot be reached, or refuses commands, for example because a permission is
//! missing:
//!
//! - Runs in progress continue. Clients of the run's process keep receiving the run, without a time
//!   limit.
//! - The bodies of clients of other processes fail after two lease periods. If Redis can be
//!   reached but is out of memory, these clients wait instead.
//! - No run starts, because otherwise an answer could be paid for twice. The layer and
//!   [`Runs::start`] still find a run that is running in their own process, if the request has no
//!   id or an id of this run. They refuse all other requests with a key. [`Runs::replace`] does the
//!   same for requests with an id, and refuses all requests without one. Both methods refuse with
//!   [`StartError::Unavailable`]. To send an unrecorded answer instead, match this error:
//!
//! ```
//! use axum::response::{IntoResponse, Response};
//! use http::request::Parts;
//! use tower_sse::{Event, runs::{RunKey, Runs, StartError}};
//! # use futures_util::{Stream, stream};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//!
//! # #[cfg(feature = "axum")]
//! async fn chat(runs: Runs, key: RunKey, parts: Parts) -> Response {
//!     match runs.start(&key, &parts, tokens).await {
//!         Ok(run) => run.answer(&parts).await.into_response(),
//!         Err(StartError::Unavailable) => tower_sse::response(tokens()).into_response(),
//!         Err(error) => error.answer(&parts).into_response(),
//!     }
//! }
//! ```
//!
//! # A hub or a run
//!
//! | | [hub](crate::hub) | run |
//! |---|---|---|
//! | events come from | any part of the program, at any time | one stream |
//! | ends | never, or at a topic's [last event](crate::hub::Hub::end) | at the end of the answer, with an [`Outcome`] |
//! | an id is valid for | all topics of the hub | its run |
//! | without clients | the events are kept, up to the limits | the run continues until it is abandoned |
//! | a client whose missed events are no longer kept gets | a `gap` event and the rest | `404`, or its body fails |
//! | if the process that makes the events dies | the topic does not end, and clients wait | the run ends, and its bodies [fail or end](#half-an-answer) |
//! | the work is stopped by | the program's own code, for example when it receives a [request to stop](crate::hub#stopping-work) | any process that [cancels](Runs::cancel) the run, optionally [with a last event](Runs::cancel_with) |
//! | processes | one, or several over a [broker](crate::hub::broker) | one, or several over a [store](#several-processes) |
//!
//! Use a hub for notifications, chat rooms and dashboards. Use a run for the answer of a language
//! model or an export of data. For the [progress of a job](crate::hub#progress-of-a-job), use a hub
//! if late clients need only the latest state, and a run if they need every event. A hub can notify
//! a user's other pages that a run has begun.
//!
//! # Storing answers
//!
//! [`Run::messages`] returns the decoded events of a run. When the run has ended, store them on a
//! separate task, because the client may have disconnected:
//!
//! ```
//! use tower_sse::runs::{Outcome, Run};
//! # async fn save(_: &str, _: String) {}
//!
//! fn store_when_ended(run: Run) {
//!     tokio::spawn(async move {
//!         let outcome = run.ended().await;
//!         let Some(messages) = run.messages() else { return };
//!         if outcome == Some(Outcome::Completed) {
//!             let text = messages.iter().map(|message| message.data.as_str()).collect();
//!             save(run.key().name(), text).await;
//!         }
//!     });
//! }
//! ```
//!
//! Call this function in the handler, with the run that [`Runs::start`] or [`Runs::replace`]
//! returns. Both methods can return the same run for a repeated request, so `save` must accept an
//! answer that is already stored.

// A request passes these from the top to the bottom, and its answer comes back by `record/` and
// `answer.rs`:
//
// | `runs.rs`, `run.rs`, `builder.rs`, `stats.rs` | `Runs` and `Run`, the options of both, and their figures |
// | `call/` | the layer, whether a request joins a run or starts one, and the task of a run |
// | `process/` | all runs by key: limits, claims and eviction |
// | `record/` | one run: its events, and the clients that read them |
// | `answer.rs` | the response to a client: the stream, `204`, `404` or an error |
// | `key.rs`, `options.rs`, `outcome.rs` | what these have in common |
// | `shared.rs`, `support` | what a store of several processes implements, and what it calls |

mod answer;
mod builder;
mod call;
mod key;
mod stats;
// Public in the hidden module `runs::support` only.
#[allow(missing_docs)]
mod options;
mod outcome;
#[allow(missing_debug_implementations, missing_docs, clippy::must_use_candidate)]
mod process;
#[allow(missing_debug_implementations, missing_docs, clippy::must_use_candidate)]
mod record;
mod run;
#[allow(clippy::module_inception)]
mod runs;
mod shared;

pub use self::answer::{Attachment, RunBody};
pub use self::builder::RunsBuilder;
pub use self::call::{RunFuture, RunLayer, RunService, RunSource};
pub use self::key::{InvalidKey, RunKey};
pub use self::outcome::{Outcome, RunEnd, RunError, StartError};
pub use self::{run::Run, runs::Runs, shared::RunStore, stats::RunsStats};

/// Internals for crates that share runs between processes, such as `tower-sse-redis`. Exempt from
/// semantic versioning.
#[doc(hidden)]
pub mod support {
    pub use super::options::Options;
    pub use super::process::{Claim, Hooks, Process, Producer, Purpose};
    pub use super::record::{MirrorWriter, Mirrored, Phase, Record};
    pub use super::shared::{Connected, Pending, SharedRuns};
    pub use crate::history::{Epoch, seen};
}
