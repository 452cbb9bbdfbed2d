//! Event streams that outlive a connection, such as language models' answers (feature `runs`).
//!
//! Your user reloads the page while the model writes. The stream is dropped, half an answer is
//! lost, and you pay for the whole answer again on the next request.
//!
//! A run keeps the answer going. It's one event stream, which a service returns or your program
//! starts with [`Runs::start`]. A task drives the stream. By default, the run keeps up to 2 MiB of
//! its events until 5 minutes after its end. A reloaded page, a second tab, and a client that
//! reconnects with `Last-Event-ID` all attach to the run. One layer does this for any service:
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
//! A client that repeats its `POST` gets the same answer. If the run failed, was stopped or is no
//! longer kept, a repeated `POST` without an id starts a new one. A run ends with its process: if
//! the process dies, the run is interrupted.
//!
//! Your handler needs no change. It can return a stream of this crate, axum's own `Sse`, or the
//! bytes of [an upstream](crate::guide::upstreams#bytes-filter-messages-or-run). For an
//! `EventSource`, [add a `GET` route](crate::guide::runs_clients#eventsource), which attaches
//! clients and never starts a run. [The guide](crate::guide::runs_clients) covers the other
//! clients. [A table](#a-hub-or-a-run) shows when a [hub](crate::hub) fits better.
//!
//! # Keys
//!
//! Requests with the same [`RunKey`] get the same run. With the layer, a key must name one answer,
//! such as one turn of a chat. The same holds for [`Runs::start`] and [`Runs::start_with`], which
//! don't replace a run that is running or has completed. With [`Runs::replace`], the key can name a
//! whole chat. Its run is then the current turn.
//!
//! Use the layer if the key is in the URL or a header. If it's in the body, have your handler call
//! [`Runs::start`] or [`Runs::replace`]. If the handler's upstream can refuse, call
//! [`Runs::start_with`] instead of `start`: it returns a refusal, such as a `429`, without
//! recording it.
//!
//! A key has a name and, unless it's [shared](RunKey::shared), an owner. Take the owner from an
//! authenticated session, never from a value that the client chooses. A client of another owner
//! can't reach the run, even with the same name and a valid id. With the layer, only the request
//! that starts a run reaches the handler, so check permissions in an outer layer.
//!
//! # Clients
//!
//! A client without a last event id gets all events of a run that is running or has completed. If
//! the run ended in any other way, [`RunLayer`] starts a new one. A client whose last event id is
//! from this run gets the events after that id. If the id is unknown, or the client needs an
//! evicted event, the answer is `404`. An `EventSource` with an id gets
//! [`interrupted`](#half-an-answer) instead. [`Runs`](Runs#answers) has the table of all answers,
//! and [`Outcome`] says how streams end.
//!
//! A run doesn't stop when its client disconnects. It continues until it ends by itself, until you
//! [cancel it](Runs::cancel), or until it has had no client for
//! [`abandon_after`](RunsBuilder::abandon_after).
//!
//! # Half an answer
//!
//! Your page can't see why its `EventSource` stopped: it gets the same `error` event for a `204`
//! after a whole answer as for a `404`. So if the server can't send the rest of an answer, it sends
//! an event whose name and id are `interrupted`, with empty data. Your page receives it once: when
//! the `EventSource` reconnects with this id, it gets `204`.
//!
//! The event ends each stream of a run that failed, or was abandoned or interrupted. Without
//! [`SseLayer`](crate::SseLayer), the body fails, and the `EventSource` gets the event when it
//! reconnects. An `EventSource` also gets the event if the server can't resume from its id, for
//! example because the run is no longer kept.
//!
//! If you set [`on_error`](crate::SseLayer::on_error), open streams end with your event instead of
//! `interrupted`. Your event has the same id. Cancelling a run doesn't send `interrupted`, except
//! to a client that has only an [early head](crate::early_head#late-answers). After
//! [`Runs::replace`], an `EventSource` of the earlier run gets `interrupted` when it reconnects
//! with its id. To cancel a run with an event of your own, use [`Runs::cancel_with`]. Only an
//! `EventSource` ever gets `interrupted`. For other clients, the body fails or ends with your event
//! from `on_error`, or the answer is `404`.
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
//! The source of a run is the stream that your service returns. Each block of lines with a `data`
//! or `event` line is recorded as one event, however the source divides its bytes into frames.
//! Comments and the source's own ids are not recorded. The run adds an id of the form
//! `epoch-sequence` to each event. No two runs of a key share an epoch.
//!
//! A `retry` line in a block of its own becomes part of the next event. If the source ends in the
//! middle of an event, that event is dropped, as the standard requires.
//!
//! # Memory and back-pressure
//!
//! [`RunsBuilder`] limits the size of each run, and the memory and number of runs, in total and per
//! owner. When a run is full, its source waits for the fastest attached client. Slower clients can
//! lose events, and their bodies then fail. Without an attached client, the source doesn't wait:
//! [`retention`](RunsBuilder::retention) has the details.
//!
//! # The order of layers
//!
//! Put the [`RunLayer`] inside of [`SseLayer`](crate::SseLayer), CORS and compression, as in the
//! guide's [order](crate::guide::placement#the-order):
//!
//! - `SseLayer` adds heartbeats, limits and close reports to each client's stream, and ends the
//!   streams of a cancelled run cleanly. Without `SseLayer`, the bodies of a cancelled run fail.
//! - Headers that are added inside of the `RunLayer` reach only the first client.
//! - A compressed answer is not recorded.
//!
//! Layers that set task-locals belong inside of the `RunLayer`: the call runs on another task. With
//! feature `tracing`, it runs in the span of its request.
//!
//! # Shutdown
//!
//! Run [`Runs::drain`] concurrently with the server's graceful shutdown. Set a grace period that is
//! long enough for an answer, and keep the clients' streams open for that period, as [this
//! program](crate::guide::shutdown#runs) does. Without a [store](#several-processes), a restart
//! loses all runs.
//!
//! # Several processes
//!
//! With [`Runs::connect`], your processes share their runs through a [store](RunStore). Any process
//! can attach clients to any run, and can [cancel](Runs::cancel_with) or replace it. Requests with
//! the same key join the same run, even if they reach different processes.
//!
//! The *run's process* is the one that called the service. It drives the stream, and exports the
//! events to the store. If it exits before the answer is complete, the answer is interrupted. If
//! any other process exits, the answer goes on.
//!
//! ## What it costs
//!
//! A request for a run of the same process takes one round trip to the store. A request that starts
//! a run takes two. A request for another process's run takes several, or only one if this process
//! already has a copy with the events that the client needs. Put the layer inside of layers that
//! authenticate and limit requests.
//!
//! While a client of another process reads a run, new events are usually exported within 4
//! milliseconds after the store has acknowledged the previous export. Otherwise, a run is exported
//! about once a second, and when it ends.
//!
//! Limits, [`Runs::stats`] and [`Runs::drain`] apply to one process.
//! [`max_memory`](RunsBuilder::max_memory) also limits how much memory the process's runs take in
//! the store.
//!
//! A source waits only for clients of its own process. If a client of another process falls behind
//! by more than the [size limit](RunsBuilder::retention), its body fails. Clients of other
//! processes get the handler's [`StreamOptions`](crate::StreamOptions), except for closures,
//! `max_age` and `end_when`. Set closures on the [`SseLayer`](crate::SseLayer) instead.
//!
//! ## If the run's process dies
//!
//! In other processes, the responses to its clients fail [soon][lease]. An `EventSource` gets
//! [`interrupted`](#half-an-answer) instead. If these clients send their requests again without an
//! id, the first one starts a new run, and the others join it. A process that has lost contact with
//! the store for one *lease* period can be declared dead too.
//!
//! Within two and a quarter lease periods, another process calls its own
//! [`on_end`](RunsBuilder::on_end) with [`Interrupted`](Outcome::Interrupted), even if no client
//! asks for the run. A run can be reported more than once, with the same [`RunEnd::id`]. This
//! happens if the run ends while its process can't reach the store, or if the reporting process
//! dies or loses contact with the store.
//!
//! [lease]: https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.RedisRuns.html#method.lease
//!
//! ## If the store loses its data
//!
//! The processes restore their running runs, and those that ended in the last 10 seconds. Other
//! ended runs are lost: a repeated request without an id starts a new run.
//!
//! For one lease period after a process has noticed the loss, some runs may not be back in the
//! store yet. During this time, a request is refused with [`StartError::Unavailable`], unless it
//! can join or replace a run in the store, or join one that is running in this process. If only
//! this process has the run, [`Runs::replace`] refuses a request without an id.
//!
//! ## While the store is unavailable
//!
//! The store may be out of reach, or refuse commands, for example because a permission is missing.
//! Runs in progress continue. Clients of a run's own process keep receiving its events. If other
//! processes still reach the store, they can declare the run dead after one lease period. If they
//! do, and the run's process reaches the store again, the responses to its own clients fail. If
//! other processes can't reach the store either, the responses that they are sending fail after two
//! lease periods. If Redis can be reached but is out of memory, these clients wait instead.
//!
//! No run starts: the store may have the run already, and you would pay for its answer twice. If
//! the run is running in the process that receives the request, a client without an id, or with one
//! of the run's ids, still gets it. [`Runs::replace`] returns such a run only if the request has
//! one of the run's ids. All other requests with a key are refused. If Redis is only out of memory,
//! requests can still join existing runs of any process. Without the layer, match
//! [`StartError::Unavailable`] to send an unrecorded answer.
//!
//! # A hub or a run
//!
//! | | [hub](crate::hub) | run |
//! |---|---|---|
//! | events come from | any part of the program, at any time | one stream |
//! | ends | never, or at a topic's [last event](crate::hub::Hub::end) | at the end of the answer, with an [`Outcome`] |
//! | an id is valid for | all topics of the hub | its run |
//! | without clients | the events are kept, up to the limits | the run continues until it is abandoned |
//! | if missed events have been evicted | the client gets a `gap` event and the rest | the client is told that the run is [gone](Runs#answers), or its response fails |
//! | if the process that makes the events dies | the topic does not end, and clients wait | the run ends, and its bodies [fail or end](#half-an-answer) |
//! | the work is stopped by | the program's own code, for example when it receives a [request to stop](crate::hub#stopping-work) | any process that [cancels](Runs::cancel) the run, optionally [with a last event](Runs::cancel_with) |
//! | processes | one, or several over a [broker](crate::hub::broker) | one, or several over a [store](#several-processes) |
//!
//! Use a hub for notifications, chat rooms and dashboards, and a run for a model's answer or a data
//! export. For the [progress of a job](crate::hub#progress-of-a-job), use a hub if late clients
//! need only the latest state, and a run if they need every event. You can combine them: a hub can
//! tell your user's other pages that a run has begun.
//!
//! # Storing answers
//!
//! [`Run::messages`] returns the messages of a run. Wait for the end and store them on a separate
//! task, because the handler stops if its client disconnects:
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
//! A repeated request can get the same run, so `save` must accept an answer that's already stored.

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

/// Internals for crates that share runs, such as `tower-sse-redis`. Exempt from semantic
/// versioning.
#[doc(hidden)]
pub mod support {
    pub use super::options::Options;
    pub use super::process::{Claim, Hooks, Process, Producer, Purpose};
    pub use super::record::{MirrorWriter, Mirrored, Phase, Record};
    pub use super::shared::{Connected, Pending, SharedRuns};
    pub use crate::history::{Epoch, seen};
}
