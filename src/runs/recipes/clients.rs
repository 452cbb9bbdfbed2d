//! Client libraries: how each attaches to a run, and what it needs from the server.
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
//!     StreamOptions::new().terminator("[DONE]").merge_into(&mut response);
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
//!   [`Runs::cancel`] in its handler, or [`Runs::cancel_with`] to end the answer with what the page
//!   shows last, such as the tokens used.
//!
//! # TanStack AI
//!
//! The client chooses the run's id and sends it as `X-Run-Id` with its `POST`. If the connection is
//! cut, it repeats the `POST` with `Last-Event-ID`, and the layer answers it. A client joins a run
//! by `GET ?offset=-1&runId=`: route that request to the [`attach` handler](#eventsource), with
//! this key.
//!
//! ```
//! use http::{HeaderMap, Uri};
//! use tower_sse::runs::{InvalidKey, RunKey};
//!
//! fn key(user: &str, headers: &HeaderMap, uri: &Uri) -> Option<Result<RunKey, InvalidKey>> {
//!     let run = match headers.get("x-run-id") {
//!         Some(run) => run.to_str().ok()?,
//!         None => uri.query()?.split('&').find_map(|pair| pair.strip_prefix("runId="))?,
//!     };
//!     Some(RunKey::new(user, run))
//! }
//! # _ = key;
//! ```
//!
//! # LangGraph
//!
//! The server chooses the run's id. The SDKs reconnect by `GET` to the path in `Location`, with
//! `Last-Event-ID`: route that request to the [`attach` handler](#eventsource).
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
//! # Limits of client libraries
//!
//! - `@microsoft/fetch-event-source` 2: loses an event if the connection is cut between the last two
//!   line feeds of the event, because it resumes after each id that it has read
//! - TanStack AI: applies an id to the event after it, so it receives one event twice after most
//!   reconnections; fails with an exception if its run is unknown, or if a connection is cut before
//!   the second event
//! - LangGraph SDKs: give up after five reconnections, in a row with Python, and of one stream in
//!   total with JavaScript, unless `maxRetries` is set
//! - `EventSource`: cannot send headers or a body, and never stops by itself after a clean end
//! - `fetch` in Node: see [cut connections](#cut-connections-in-node)
//!
//! # Cut connections in Node
//!
//! The `fetch` of Node (undici) mistakes a cut body for a clean end if the response has
//! `Connection: close`, and reports half an answer as complete. Let clients and proxies keep
//! connections alive.

// Names for the links above.
#[allow(unused_imports)]
use crate::runs::{Run, Runs, RunsBuilder};
