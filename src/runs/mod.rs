//! Event streams that outlive a connection, such as language models' answers (feature `runs`).
//!
//! Your user reloads the page while the model is still writing. The stream is dropped, half an
//! answer is lost, and you pay for the whole answer again on the next request.
//!
//! A *run* keeps the answer going: a task reads the stream, even without a client, and the run
//! records the events. By default, a run holds up to 2 MiB of events and is kept for up to 5
//! minutes after its end. A reloaded page, a second tab, and a client that reconnects with
//! `Last-Event-ID` all attach to the run. One layer does this for any service:
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
//! longer kept, a repeated `POST` without a last event id starts a new run. If your process dies,
//! its unfinished answers break off. Without a [store](#several-processes), finished answers are
//! lost too.
//!
//! Some client libraries [lose the blanks](crate::Event::data) in raw tokens like these. For them,
//! send each token as JSON.
//!
//! Your handler can return a stream from this crate, axum's own `Sse`, or the bytes of [an
//! upstream](crate::guide::upstreams#bytes-filter-messages-or-run). For an `EventSource` and a Stop
//! button, see [this program](crate::guide::assistant#the-program). [The
//! guide](crate::guide::runs_clients) covers other clients. [A table](#a-hub-or-a-run) shows when a
//! hub fits better.
//!
//! # Keys
//!
//! Requests find a run by its [`RunKey`]. What a key names depends on how you start runs:
//!
//! - With the layer, [`Runs::start`] or [`Runs::start_with`], a key must name one answer, such as
//!   one turn of a chat: a later request with the key gets the same answer.
//! - With [`Runs::replace`], a key can name a whole chat, and the key's run is the current turn.
//!
//! If the key is in the URL or a header, use the layer. If it's in the body, have your handler call
//! [`Runs::start`] or [`Runs::replace`]. If the handler's upstream can refuse the request, call
//! [`Runs::start_with`] instead of `start`. `start_with` returns the upstream's refusal, such as a
//! `429`, without recording it.
//!
//! A key has a name and, unless it's [shared](RunKey::shared), an owner. Take the owner from an
//! authenticated session, never from a value that the client chooses. Clients of other owners can't
//! reach the run, even with a valid id. With the layer, a request that joins a run doesn't reach
//! your handler, so check permissions in an outer layer.
//!
//! # Clients
//!
//! A client without a last event id gets all events of a run that is running or has completed. If
//! the run ended in any other way, [`RunLayer`] starts a new run. A client whose last event id is
//! from the key's run gets the events after that id, however the run ended.
//!
//! If the id is unknown, or the client needs an evicted event, the answer is `404`. An
//! `EventSource` with an id gets [`interrupted`](#half-an-answer) instead. [`Runs`](Runs#answers)
//! has the table of all answers, and [`Outcome`] says how streams end.
//!
//! Without a client, a run continues for up to [`abandon_after`](RunsBuilder::abandon_after). To
//! stop it earlier, [cancel](Runs::cancel) it, optionally [with a last event](Runs::cancel_with).
//!
//! # Half an answer
//!
//! Your page can't see why its `EventSource` stopped: a `204` after a whole answer fires the same
//! `error` event as a `404`. So if the server can't send the rest, it sends an event whose name and
//! id are `interrupted`, with the data `{}`. When the `EventSource` reconnects with this id, it
//! gets `204`, so your page receives the event once.
//!
//! An `EventSource` gets `interrupted` in these cases:
//!
//! - The run failed, was abandoned or was interrupted. Without [`SseLayer`](crate::SseLayer), or
//!   after a [`late_event`](crate::early_head::EarlyHeadLayer::late_event) that reports an error,
//!   an open stream ends without `interrupted`. The event can then come when the
//!   `EventSource` reconnects with an id.
//! - The client's next event is lost: it was evicted, or the run's process died.
//! - The client's last event id isn't from the key's run, for example because the run is no longer
//!   kept, was [replaced](Runs::replace), or was in memory before a restart. The data is then
//!   `{"run":"unknown"}`, because the client may have the whole answer. To avoid this, end answers
//!   with an event at which your page closes the `EventSource`, as [this
//!   page](crate::guide::assistant#the-page) does.
//!
//! An `EventSource` without an id whose first event was evicted gets a `404` instead, which your
//! handler can [replace](crate::guide::assistant#the-program).
//!
//! If you set [`on_error`](crate::SseLayer::on_error), an open stream ends with your event instead
//! of `interrupted`. Clients that the layer doesn't take for an
//! [`EventSource`](crate::ClientKind::EventSource) never get `interrupted`. For them, the body fails
//! or ends with an event from `on_error` or `late_event`, or the answer is `404` or a refusal.
//!
//! Some clients take a failed body for a complete answer. Behind some proxies, all clients do. Set
//! a [`terminator`](crate::SseLayer::terminator) and have your page check for it.
//!
//! # Runs without the layer
//!
//! If the key is in the body, or a chat's turns share a key, start runs in your handlers:
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
//! A run records each event that has a `data` line, even an empty one, and gives it an id of the
//! form `epoch-sequence`. Comments, the stream's own ids, events without data and an incomplete
//! event at the end are dropped. Browsers don't dispatch an event without data, and OpenAI's
//! clients fail at it.
//!
//! # Memory and back-pressure
//!
//! [`RunsBuilder`] limits the size, memory and number of runs. If a run is full of events that even
//! the fastest attached client hasn't read, its source waits. If a slower client's next event is
//! evicted, its body fails. Without an attached client, the source doesn't wait, and the run
//! [evicts its oldest events](RunsBuilder::retain_bytes).
//!
//! # The order of layers
//!
//! The guide shows the whole [order](crate::guide::placement#the-order). The [`RunLayer`] belongs
//! inside of [`SseLayer`](crate::SseLayer), CORS and compression:
//!
//! - `SseLayer` adds heartbeats, limits and close reports to each client's stream.
//! - Headers that are added inside of the `RunLayer` reach only the client that started the run.
//! - A compressed answer isn't recorded.
//!
//! Layers that set task-locals belong inside of the `RunLayer`: your handler runs on another task.
//!
//! # Shutdown
//!
//! Run [`Runs::drain`] concurrently with the server's graceful shutdown. Set a grace period that is
//! long enough for an answer and keep the clients' streams open meanwhile, as [this
//! program](crate::guide::assistant#the-program) does. [The guide](crate::guide::shutdown#runs)
//! describes the deadline, and what happens to answers that take longer.
//!
//! # Several processes
//!
//! A client that reconnects may reach another of your processes. With [`Runs::connect`], the
//! processes share their runs through a [store](RunStore). The only store uses
//! [Redis](https://docs.rs/tower-sse-redis). Requests with the same key then get the same run,
//! whichever process they reach, and any process can [cancel](Runs::cancel_with) or replace it.
//!
//! The *run's process* is the one that started the run. It drives the stream and exports the
//! events to the store. If this process exits before the answer is complete, the answer is
//! interrupted. If another process exits, the answer goes on.
//!
//! ## What it costs
//!
//! A request with a key takes at least one round trip to the store. So put the layer inside of
//! layers that authenticate and limit requests.
//!
//! While a client of another process reads a run, new events are usually exported within
//! milliseconds. Without such a client, a run is exported about once a second, and when it ends.
//!
//! Limits, [`Runs::stats`] and [`Runs::drain`] apply to one process. But all processes keep a run
//! up to the [size limit](RunsBuilder::retain_bytes) of the run's process. If a client of another
//! process falls behind by more than that, its body fails, because a source waits only for clients
//! of its own process. For clients of other processes, the handler's
//! [`on_error`](crate::StreamOptions::on_error) isn't called. Set it on the
//! [`SseLayer`](crate::SseLayer::on_error) instead.
//!
//! ## If the run's process dies
//!
//! In other processes, responses for the run fail [soon][lease]. An `EventSource` gets
//! [`interrupted`](#half-an-answer) instead. The first request that is repeated without an id
//! starts a new run, and the others join it. With [`Runs::replace`], every such request starts a
//! new run. A process that loses contact with the store for over four fifths of a [*lease*][lease]
//! period can be declared dead too.
//!
//! Another process calls its own [`on_end`](RunsBuilder::on_end) closures with
//! [`Interrupted`](Outcome::Interrupted), usually within 1.2 lease periods, even if the run has no
//! client.
//!
//! [lease]: https://docs.rs/tower-sse-redis/latest/tower_sse_redis/struct.RedisRuns.html#method.lease
//!
//! ## If the store loses its data
//!
//! The processes restore their running runs and the runs that ended in the last 10 seconds. Other
//! ended runs are lost: a repeated request without an id starts a new run.
//!
//! After noticing the loss, a process waits about one lease period for runs that may still be
//! restored. Meanwhile, a request can join or replace a run that is in the store, or join a run
//! that is running in this process. All other requests are refused with
//! [`StartError::Unavailable`].
//!
//! ## While the store is unavailable
//!
//! If the store can't be reached or refuses commands, runs in progress continue, and clients of a
//! run's own process keep receiving its events. But some responses fail:
//!
//! - If the run's process can't reach the store, other processes that are still connected to the
//!   store can declare the run dead after one lease period. If they do, the run's process fails
//!   its own responses for the run once it reaches the store again.
//! - A process that can't reach the store for two lease periods fails its responses for other
//!   processes' runs.
//!
//! No new run starts: the store may already have a run for the key, and with a second one, you
//! would pay for the same answer twice. A request can still join a run in progress if it reaches
//! the run's process. All other requests with a key are refused. If Redis can be reached but is
//! [out of memory](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/#runs),
//! requests can still join runs of any process.
//!
//! If your handler calls [`Runs::start`] itself, without a [`RunLayer`], it can send an unrecorded
//! answer when it gets [`StartError::Unavailable`].
//!
//! # A hub or a run
//!
//! Use a hub for notifications, chat rooms and dashboards, and a run for a model's answer or a data
//! export. For a [job's progress](crate::hub#progress-of-a-job), use a hub if late clients need
//! only the latest state, and a run if they need every event.
//!
//! | | [hub](crate::hub) | run |
//! |---|---|---|
//! | events come from | any part of the program | one stream |
//! | ends | never, or once all topics of a stream have had their [last event](crate::hub::Hub::end) | when the answer ends or the run is stopped, with an [`Outcome`] |
//! | an id is valid for | all topics of the hub | its run |
//! | without clients | the hub keeps events, up to its limits | the run continues, [up to a limit](RunsBuilder::abandon_after) |
//! | if missed events were evicted | the client gets a `gap` event and the rest | the client [can't resume](Runs#answers), or its body fails |
//! | if the publishing process dies | clients wait | the run [breaks off](#half-an-answer) |
//! | to stop the work | publish a [request to stop](crate::hub#stopping-work) | [cancel](Runs::cancel) the run |
//! | several processes share | a [broker](crate::hub::broker) | a [store](#several-processes) |
//!
//! # Storing answers
//!
//! To keep an answer for longer than its run, save it when the run ends. Inside the layer, a
//! handler finds its own run with [`Runs::get`]. Without the layer, [`Runs::start`] returns it.
//!
//! ```
//! use axum::{extract::State, response::{IntoResponse, Response}};
//! use futures_util::stream;
//! use http::{StatusCode, request::Parts};
//! use tower_sse::{Event, runs::{InvalidKey, Outcome, Run, RunKey, Runs}};
//! # static STORED: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);
//! # async fn load(_: &RunKey) -> Option<String> {
//! #     STORED.lock().unwrap().clone()
//! # }
//! # async fn save(_: &RunKey, text: String) {
//! #     *STORED.lock().unwrap() = Some(text);
//! # }
//! # async fn ask_model() -> Response {
//! #     assert_eq!(*STORED.lock().unwrap(), None, "asked twice");
//! #     let events = [Event::from("Hel"), Event::from("lo"), done()];
//! #     tower_sse::response(stream::iter(events)).into_response()
//! # }
//! # fn done() -> Event {
//! #     Event::new().event("done").data("{}")
//! # }
//! # fn key_of(parts: &Parts) -> Result<RunKey, InvalidKey> {
//! #     RunKey::new("user", parts.uri.path())
//! # }
//!
//! // POST: the layer calls this handler only if the key has no run that is running, or complete
//! // and kept.
//! async fn ask(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let Ok(key) = key_of(&parts) else { return StatusCode::BAD_REQUEST.into_response() };
//!     if let Some(text) = load(&key).await {
//!         return tower_sse::response(stream::iter([Event::from(text), done()])).into_response();
//!     }
//!     if let Some(run) = runs.get(&key).await {
//!         tokio::spawn(save_when_ended(run));
//!     }
//!     ask_model().await
//! }
//!
//! async fn save_when_ended(run: Run) {
//!     let outcome = run.ended().await;
//!     let Some(messages) = run.messages() else { return };
//!     if outcome == Some(Outcome::Completed) {
//!         // The final event, `done`, has another name and isn't part of the text.
//!         let words = messages.iter().filter(|message| message.event == "message");
//!         save(run.key(), words.map(|message| &*message.data).collect()).await;
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! #     use axum::{Router, body::{Body, to_bytes}, routing::post};
//! #     for expected in ["data: Hel\n", "data: Hello\n"] {
//! #         let runs = Runs::new();
//! #         let layer = runs.layer(|_: &http::Request<_>| Some(RunKey::new("user", "/1")));
//! #         let app = Router::new().route("/1", post(ask)).layer(layer).with_state(runs);
//! #         let request = http::Request::post("/1").body(Body::empty()).unwrap();
//! #         let answer = tower::ServiceExt::oneshot(app, request).await.unwrap();
//! #         let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
//! #         assert!(str::from_utf8(&body).unwrap().contains(expected), "{body:?}");
//! #         while STORED.lock().unwrap().is_none() {
//! #             tokio::task::yield_now().await;
//! #         }
//! #         assert_eq!(STORED.lock().unwrap().as_deref(), Some("Hello"));
//! #     }
//! # }
//! ```
//!
//! - `load` and `save` must use the key's owner and its name: another owner's run can have the same
//!   name.
//! - In your `GET` handler, send the stored answer if [`Runs::answer`] returns `None` or a `404`.
//!   In [this program](crate::guide::assistant#the-program), that's where `attach` sends `gone`.
//! - If an event was [evicted](RunsBuilder::retain_bytes), `messages` returns `None`, and the answer
//!   isn't saved.
//! - An answer can be saved twice, for example if `save` takes longer than the run is kept. So
//!   `save` must accept an answer that's already stored.
//! - At shutdown, wait for these tasks after [`Runs::drain`]. Tasks that still run when `main`
//!   returns are dropped.

// A request goes through `call/` and `process/`. Its answer goes through `record/` and `answer.rs`:
//
// | `runs.rs`, `run.rs`, `builder.rs`, `stats.rs` | `Runs` with its options and statistics, and `Run` |
// | `call/` | the layer, whether a request joins a run or starts one, and the task of a run |
// | `process/` | all runs by key: limits, claims and eviction |
// | `record/` | one run: its events, and the clients that read them |
// | `answer.rs` | the response to a client: events, `interrupted`, `204`, `404` or a refusal |
// | `key.rs`, `options.rs`, `outcome.rs` | types that the other files share |
// | `shared.rs`, `__private` | what a store of several processes implements, and what it calls |

mod answer;
mod builder;
mod call;
mod key;
mod stats;
// Its items are public only in the hidden module `runs::__private`.
#[allow(missing_docs)]
mod options;
mod outcome;
#[allow(missing_debug_implementations, missing_docs, clippy::must_use_candidate)]
mod process;
#[allow(missing_debug_implementations, missing_docs, clippy::must_use_candidate)]
mod record;
mod run;
mod runs;
mod shared;

pub use self::answer::Attachment;
pub use self::builder::RunsBuilder;
pub use self::call::{RunFuture, RunLayer, RunService, RunSource};
pub use self::key::{InvalidKey, RunKey};
pub use self::outcome::{Outcome, RunEnd, RunError, StartError};
pub use self::{run::Run, runs::Runs, shared::RunStore, stats::RunsStats};

/// Internals for crates that share runs, such as `tower-sse-redis`. Exempt from semantic
/// versioning.
#[doc(hidden)]
pub mod __private {
    pub use super::options::Options;
    pub use super::process::{Claim, Hooks, Process, Producer, Purpose};
    pub use super::record::{MirrorWriter, Mirrored, Phase, Record};
    pub use super::shared::{Connected, Pending, SharedRuns};
    pub use crate::history::{Epoch, seen};
    pub use crate::sparse::shrink_if_sparse;
}
