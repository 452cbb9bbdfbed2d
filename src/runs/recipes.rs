//! Recipes for applications: how to choose between a hub and a run, which clients may attach, and
//! what client libraries need.
//!
//! The example `runs` serves a page that starts runs and reads them with an `EventSource`.
//!
//! # A hub or a run
//!
//! | | [hub](crate::hub) | run |
//! |---|---|---|
//! | events come from | any part of the program, at any time | one call |
//! | end | none, or the last event of a topic ([`Hub::end`](crate::hub::Hub::end)) | the end of the answer, with an [`Outcome`] |
//! | an id is valid | in all topics of the hub | in its run |
//! | without clients | the oldest events are evicted | the call continues until it is abandoned |
//! | a client that missed events gets | a `gap` event and the rest | `404`, or its body fails |
//! | the process that makes the events dies | the topic does not end, and clients wait | the run ends, and clients are told |
//! | stopping the work | the program's own, such as a [topic](#stopping-work-over-a-hub) for it | any process [cancels](Runs::cancel) the run |
//! | processes | one, or several over Redis | one, or several over a [store](super#several-processes) |
//!
//! Notifications, chat rooms and dashboards are hubs. The answer of a language model and an export are
//! runs. The [progress of a job](crate::hub#progress-of-a-job) is a topic of a hub if a late client
//! needs only the latest state, and a run if it needs every event. A hub can notify a user's other
//! pages that a run has begun.
//!
//! # Stopping work over a hub
//!
//! The process that receives the request to stop may not be the one that works. It publishes to a
//! topic, which the work follows:
//!
//! ```
//! # #[cfg(feature = "hub")]
//! # mod with_hub {
//! use futures_util::StreamExt;
//! use tower_sse::{Event, hub::{Hub, PublishError}};
//! # async fn next_part() -> String { String::new() }
//!
//! async fn work(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     let topic = format!("job:{job}");
//!     let mut stops = hub.subscribe_to(format!("stop:{job}")).resume(None).messages();
//!     for _ in 0..100 {
//!         tokio::select! {
//!             part = next_part() => hub.publish(&topic, part).await?,
//!             _ = stops.next() => break,
//!         };
//!     }
//!     hub.end(&topic, Event::new().event("done").data("")).await?;
//!     Ok(())
//! }
//!
//! async fn stop(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     hub.publish(format!("stop:{job}"), "").await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # Owners
//!
//! A client for whose request the program makes a run's key can read that run and, where a handler
//! allows it, stop it.
//!
//! - [`RunKey::new`] is for names that a client chooses or can guess. The owner comes from the
//!   authenticated session. A client of another owner gets the answers for an unknown run, even
//!   with the same name and a valid id.
//! - [`RunKey::shared`] is for names that the server generates with a cryptographic random
//!   generator, and for public answers. These runs have no owner, so
//!   [`max_running_per_owner`](RunsBuilder::max_running_per_owner) does not limit them.
//!
//! Check permissions outside of the layer: only the request that starts a run reaches the handler.
//!
//! # `EventSource`
//!
//! An `EventSource` sends only `GET`, which should not start work that costs money. The page posts
//! its question, awaits the response head, cancels that body, and opens an `EventSource` on
//! the same URL. The layer is only around the `POST`, so no other request can start a run.
//!
//! ```
//! use axum::{Router, body::Body, extract::State, routing::post};
//! use axum::response::{IntoResponse, Response};
//! use http::{HeaderMap, Request, StatusCode, Uri, request::Parts};
//! use tower_sse::{Event, SseLayer, runs::{InvalidKey, RunKey, Runs}};
//! # use futures_util::{Stream, stream};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//!
//! fn key(headers: &HeaderMap, uri: &Uri) -> Option<Result<RunKey, InvalidKey>> {
//!     let user = headers.get("x-user")?.to_str().ok()?; // set by an authenticating proxy
//!     Some(RunKey::new(user, uri.path()))
//! }
//!
//! async fn ask() -> impl IntoResponse {
//!     tower_sse::response(tokens())
//! }
//!
//! async fn attach(State(runs): State<Runs>, parts: Parts) -> Response {
//!     let key = match key(&parts.headers, &parts.uri) {
//!         Some(Ok(key)) => key,
//!         Some(Err(_)) => return StatusCode::BAD_REQUEST.into_response(),
//!         None => return StatusCode::UNAUTHORIZED.into_response(),
//!     };
//!     match runs.answer(&key, &parts).await {
//!         Some(answer) => answer.into_response(),
//!         None => StatusCode::NOT_FOUND.into_response(),
//!     }
//! }
//!
//! fn app(runs: Runs) -> Router {
//!     let layer = runs.layer(|request: &Request<Body>| key(request.headers(), request.uri()));
//!     Router::new()
//!         .route("/answers/{turn}", post(ask).layer(layer).get(attach))
//!         .layer(SseLayer::new())
//!         .with_state(runs)
//! }
//! ```
//!
//! After the run ends, the `EventSource` reconnects once and receives `204`, which stops it: its
//! `error` event comes with `readyState` 2 (`CLOSED`). If you set a terminator, a page
//! that is disconnected between the last event and the terminator sees only this `error` event, so
//! treat it as the end of the answer too.
//!
//! # AI SDK
//!
//! `DefaultChatTransport` posts the chat's id in the body, and resumes by
//! `GET {api}/{chatId}/stream` without a last event id. The key names the chat, so each turn
//! replaces the previous one. Without a turn to resume, the answer is `204`.
//!
//! ```
//! use axum::{Json, extract::{Path, State}, response::{IntoResponse, Response}};
//! use http::{StatusCode, request::Parts};
//! use serde::Deserialize;
//! use tower_sse::{Event, StreamOptions, runs::{RunKey, Runs}};
//! # use futures_util::{Stream, stream};
//! # fn chunks() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//! # fn user(parts: &Parts) -> &str { "user" }
//!
//! const PROTOCOL: [(&str, &str); 1] = [("x-vercel-ai-ui-message-stream", "v1")];
//!
//! #[derive(Deserialize)]
//! struct Chat { id: String }
//!
//! async fn ask(State(runs): State<Runs>, parts: Parts, Json(chat): Json<Chat>) -> Response {
//!     let Ok(key) = RunKey::new(user(&parts), chat.id) else {
//!         return StatusCode::BAD_REQUEST.into_response();
//!     };
//!     match runs.replace(&key, &parts, chunks).await {
//!         Ok(run) => answer(run.answer(&parts).await),
//!         Err(error) => error.answer(&parts).into_response(),
//!     }
//! }
//!
//! async fn resume(State(runs): State<Runs>, Path(chat): Path<String>, parts: Parts) -> Response {
//!     let Ok(key) = RunKey::new(user(&parts), chat) else {
//!         return StatusCode::BAD_REQUEST.into_response();
//!     };
//!     match runs.answer(&key, &parts).await {
//!         Some(response) => answer(response),
//!         None => StatusCode::NO_CONTENT.into_response(),
//!     }
//! }
//!
//! fn answer(response: impl IntoResponse) -> Response {
//!     let mut response = (PROTOCOL, response).into_response();
//!     response.extensions_mut().insert(StreamOptions::new().terminator("[DONE]"));
//!     response
//! }
//! ```
//!
//! - Send the message's id in the `start` chunk: the transport of version 7 then resets the message
//!   before it reads the replay.
//! - Completed turns are replayed for [`retain_for`](RunsBuilder::retain_for). If the page loads
//!   stored messages, resume only a turn that is still running: its [`Run::outcome`] is `None`.
//!   Otherwise answer `204`.
//! - Stopping the transport only disconnects it. Let the page also send a `DELETE`, and call
//!   [`Runs::cancel`] in its handler.
//!
//! # TanStack AI
//!
//! The client chooses the run's id and sends it as `X-Run-Id` with its `POST`. If the connection is
//! cut, it repeats the `POST` with `Last-Event-ID`, and the layer answers it. A client joins a run
//! by `GET ?offset=-1&runId=`: route that request to the `attach` handler above, with the key
//! below. Set [`leading_ids`](RunsBuilder::leading_ids).
//!
//! ```
//! use http::{HeaderMap, Uri};
//! use tower_sse::runs::{InvalidKey, RunKey, Runs};
//!
//! fn key(user: &str, headers: &HeaderMap, uri: &Uri) -> Option<Result<RunKey, InvalidKey>> {
//!     let run = match headers.get("x-run-id") {
//!         Some(run) => run.to_str().ok()?,
//!         None => uri.query()?.split('&').find_map(|pair| pair.strip_prefix("runId="))?,
//!     };
//!     Some(RunKey::new(user, run))
//! }
//!
//! let runs = Runs::builder().leading_ids(true).build();
//! ```
//!
//! # LangGraph
//!
//! The server chooses the run's id. The SDKs reconnect by `GET` to the path in `Location`, with
//! `Last-Event-ID`: route that request to the `attach` handler above.
//!
//! ```
//! use axum::{extract::{Path, State}, response::{IntoResponse, Response}};
//! use http::{HeaderValue, StatusCode, header::{CONTENT_LOCATION, LOCATION}, request::Parts};
//! use tower_sse::{Event, runs::{RunKey, Runs}};
//! # use futures_util::{Stream, stream};
//! # fn events() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//! # fn user(parts: &Parts) -> &str { "user" }
//! # fn new_id() -> String { "7".to_owned() }
//!
//! async fn start(State(runs): State<Runs>, Path(thread): Path<String>, parts: Parts) -> Response {
//!     let path = format!("/threads/{thread}/runs/{}", new_id());
//!     let stream = format!("{path}/stream");
//!     let key = RunKey::new(user(&parts), &stream);
//!     let locations = (HeaderValue::try_from(path), HeaderValue::try_from(stream));
//!     let (Ok(key), (Ok(run_path), Ok(stream_path))) = (key, locations) else {
//!         return StatusCode::BAD_REQUEST.into_response();
//!     };
//!     match runs.start(&key, &parts, events).await {
//!         Ok(run) => {
//!             let headers = [(CONTENT_LOCATION, run_path), (LOCATION, stream_path)];
//!             (headers, run.answer(&parts).await).into_response()
//!         }
//!         Err(error) => error.answer(&parts).into_response(),
//!     }
//! }
//! ```
//!
//! # OpenAI-compatible APIs
//!
//! Set the terminator in the handler's response. Every client that reads a completed run to its end
//! gets it, except an `EventSource` that has all events, which gets `204`. No client of a cancelled
//! or failed run gets it. The `[DONE]` of a proxied upstream is an event, which is recorded.
//!
//! ```
//! use axum::response::IntoResponse;
//! use tower_sse::{Event, StreamOptions};
//! # use futures_util::{Stream, stream};
//! # fn chunks() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//!
//! # #[cfg(feature = "axum")]
//! async fn complete() -> impl IntoResponse {
//!     (StreamOptions::new().terminator("[DONE]"), tower_sse::response(chunks()))
//! }
//! ```
//!
//! The upstream's comments are not recorded. A recorded comment would need an id, and openai-python
//! fails at a block of only an id and a comment. The example `llm_tokens` adds runs with
//! one line.
//!
//! # OpenAI Responses API
//!
//! Its clients resume by `GET /responses/{id}?stream=true&starting_after=7`, with the
//! `sequence_number` of the last event that they have read. An id of this crate is `epoch-sequence`,
//! so the handler inserts the [`LastEventId`](crate::LastEventId) that the number stands for.
//! [`RunEnd::id`] and the ids of the events have the epoch. Store it with the response's id when the run starts, or let the
//! client attach without an id and skip what it has.
//!
//! ```
//! use axum::response::{IntoResponse, Response};
//! use http::{StatusCode, request::Parts};
//! use tower_sse::{LastEventId, runs::{RunKey, Runs}};
//!
//! async fn resume(runs: Runs, key: RunKey, epoch: &str, after: u64, mut parts: Parts) -> Response {
//!     let sequence = after.saturating_add(1);
//!     if let Ok(last) = LastEventId::try_from(format!("{epoch}-{sequence}")) {
//!         parts.extensions.insert(last);
//!     }
//!     match runs.answer(&key, &parts).await {
//!         Some(answer) => answer.into_response(),
//!         None => StatusCode::NOT_FOUND.into_response(),
//!     }
//! }
//! ```
//!
//! The sequences of a run start at 1, those of the API at 0: the event with `sequence_number` 7 is
//! the eighth, and its sequence is 8. The source must number its events in this way, without gaps.
//! The stream helper of the JavaScript SDK does not send `starting_after`: it reads all events again,
//! and skips those up to it.
//!
//! # Storing answers
//!
//! [`Run::messages`] returns the decoded events of a run. Store them when the run has ended, on a
//! task of its own, because the client may have disconnected:
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
//! Call it in the handler with the run that [`Runs::start`] or [`Runs::replace`] returns. With
//! several processes, call it only where the run was started, or each process stores the answer.
//!
//! # Limits of client libraries
//!
//! - `@microsoft/fetch-event-source` 2: loses an event if the connection is cut between the last two
//!   line feeds of the event, because it resumes after each id that it has read
//! - TanStack AI: fails with an exception if a connection is cut before the first id, which
//!   [`leading_ids`](RunsBuilder::leading_ids) sends with the first event, and if its run is unknown
//! - LangGraph SDKs: give up after five reconnections, in a row with Python, and of one stream in
//!   total with JavaScript, unless `maxRetries` is set
//! - `EventSource`: cannot send headers or a body, and never stops by itself after a clean end
//! - `fetch` in Node: see [cut connections](#cut-connections-in-node)
//!
//! # MCP
//!
//! Return no key for requests of MCP 2026-07-28. That version has no resumption, and its clients
//! cancel a call by closing the stream, which does not stop a run.
//!
//! # Restarts
//!
//! Without a store, runs are kept in memory, so a new process has none. A client that reconnects with
//! an id gets `404` for every method, and no answer is generated again. An error is better than the
//! halves of two different answers. The page can show the error and offer to ask again. With several
//! processes, [connect](Runs::connect) them to a store, or route all requests with the same key to
//! the same process.
//!
//! # Cut connections in Node
//!
//! The `fetch` of Node (undici) mistakes a cut body for a clean end if the response has
//! `Connection: close`, and reports half an answer as complete. Let clients and proxies keep
//! connections alive.
//!
//! # Shutdown
//!
//! At a shutdown, the server stops listening, no further run starts, and running ones get a grace
//! period. [`Drain::after`](crate::Drain::after) in the responses of runs keeps their streams open
//! for a little longer, so that it is the run that ends them. Do not set it on the layer, where it
//! would also keep streams open that never end, such as those of a hub.
//!
//! ```no_run
//! use std::{io, time::Duration};
//!
//! use axum::{Router, response::IntoResponse};
//! use futures_util::{Stream, stream};
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::{Drain, Event, SseLayer, StreamOptions, runs::Runs};
//! # fn tokens() -> impl Stream<Item = Event> + Send + 'static { stream::empty() }
//!
//! const GRACE: Duration = Duration::from_secs(20);
//! const LEEWAY: Duration = Duration::from_secs(5);
//!
//! # #[cfg(feature = "axum")]
//! async fn chat() -> impl IntoResponse {
//!     (StreamOptions::new().drain(Drain::after(GRACE + LEEWAY)), tower_sse::response(tokens()))
//! }
//!
//! async fn serve(
//!     listener: TcpListener,
//!     routes: Router,
//!     runs: Runs,
//!     shutdown: CancellationToken,
//! ) -> io::Result<()> {
//!     let layer = SseLayer::new().shutdown(shutdown.clone());
//!     let server = axum::serve(listener, routes.layer(layer))
//!         .with_graceful_shutdown(shutdown.clone().cancelled_owned());
//!     let drain = async {
//!         shutdown.cancelled().await;
//!         runs.drain(GRACE).await;
//!     };
//!     tokio::join!(server, drain).0
//! }
//! ```
//!
//! Answers that take longer are [`Interrupted`](Outcome::Interrupted), and their clients' bodies
//! fail. To disconnect clients that do not read, also set the
//! [deadline](crate::operating::shutdown#the-deadline). [`RunsBuilder::on_end`] reports the events
//! and bytes of each run, including interrupted ones, for billing.
//!
//! # Kubernetes
//!
//! A pod gets `SIGTERM`, and `SIGKILL` after `terminationGracePeriodSeconds`, which is 30 by default.
//! New requests arrive for a few seconds after `SIGTERM`, until all proxies know that the pod ends.
//!
//! - Set `terminationGracePeriodSeconds` to the duration of the longest answer that must complete,
//!   plus 10 seconds. Pass that duration to [`Runs::drain`].
//! - Add a `preStop` hook that sleeps for 5 seconds. It counts into the period.
//! - With several processes and a store, the clients of a pod that ends reconnect to others, and
//!   answers of other pods are not disturbed. Runs that the pod owns complete within its grace
//!   period, or are [`Interrupted`](Outcome::Interrupted) at its end.
//! - A pod that is killed, such as for its memory, tells nobody. Clients are told once its lease has
//!   expired.

// Names for the links above.
#[allow(unused_imports)]
use super::{Outcome, Run, RunEnd, RunKey, Runs, RunsBuilder};
