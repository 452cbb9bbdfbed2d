//! Serving runs to clients of the OpenAI APIs.
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
//! [`RunEnd::id`] and the ids of the events have the epoch. Store it with the response's id when the
//! run starts, or let the client attach without an id and skip what it has.
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

// Names for the links above.
#[allow(unused_imports)]
use crate::runs::RunEnd;
