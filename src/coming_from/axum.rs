//! Coming from axum's `Sse`: keep it, add the layer, drop `KeepAlive`.
//!
//! Before:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{Router, response::sse::{Event, KeepAlive, Sse}, routing::get};
//! use futures_util::{Stream, stream};
//!
//! async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     let events = stream::iter(["one", "two"].map(|text| Ok(Event::default().data(text))));
//!     Sse::new(events).keep_alive(KeepAlive::default())
//! }
//!
//! let app: Router = Router::new().route("/events", get(events));
//! ```
//!
//! After:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{Router, response::sse::{Event, Sse}, routing::get};
//! use futures_util::{Stream, stream};
//! use tower_sse::SseLayer;
//!
//! async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     let events = stream::iter(["one", "two"].map(|text| Ok(Event::default().data(text))));
//!     Sse::new(events)
//! }
//!
//! let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
//! ```
//!
//! All options of the layer apply to such a stream, and handlers can extract
//! [`LastEventId`](crate::LastEventId) (feature `axum`). Replace an interval, text or event of
//! `KeepAlive` with a [`Heartbeat`]. The example `existing_axum` is a whole program.
//!
//! # If `KeepAlive` stays
//!
//! The stream still works, but `KeepAlive` sends its comment before the layer's heartbeat is due.
//! An empty line follows its comment, but not the layer's heartbeat. This empty line has effects:
//!
//! - `@microsoft/fetch-event-source` dispatches an empty message.
//! - After an event with an id, httpx-sse returns an empty event. OpenAI's Python SDK then raises
//!   `JSONDecodeError`.
//! - It separates the layer's [`retry`](SseLayer::retry) line from the first event.
//!
//! # Moving to `tower_sse::response`
//!
//! Move a handler to gain one of these:
//!
//! - **One event for many clients**: [`Encoded`](crate::Encoded) is encoded once. axum encodes
//!   every event for every client.
//! - **Speed**: an event with a `String` of 16 bytes takes 18.6 ns instead of 129.8 ns, and one
//!   allocation instead of five. Events that are ready together are sent as one frame. The times
//!   are the minimum of 60 rounds, with axum 0.8.9; see `benches/record/2026-11-20.md` in the
//!   repository.
//! - **JSON**: [`Json`](crate::Json) serialises a value when it is sent.
//! - **Untrusted text** in an id or a name: axum panics if it has a line break. Here, `try_from` of
//!   [`EventId`] and [`EventName`] returns an error.
//!
//! ```
//! use axum::response::IntoResponse;
//! use futures_util::stream;
//! use tower_sse::Event;
//!
//! async fn events() -> impl IntoResponse {
//!     tower_sse::response(stream::iter(["one", "two"].map(Event::from)))
//! }
//! ```
//!
//! | axum | here |
//! |---|---|
//! | `Sse::new(s)` | [`response(s)`](crate::response) |
//! | `Event::default()` | [`Event::new()`] |
//! | `.json_data(v)?` | [`.json(v)`](crate::Event::json) |
//! | `.id(text)` | [`EventId`] |
//! | `.event(text)` | [`EventName`] |
//! | `KeepAlive` | [`Heartbeat`] |
//! | `.interval(time)` | [`Heartbeat::every`] |
//! | `.text(text)` | [`.comment(text)`](Heartbeat::comment) |
//! | `.event(event)` | [`.event(n, d)`](Heartbeat::event) |
//!
//! Items can be events, or a `Result` of them.
//!
//! # What behaves differently
//!
//! | | axum 0.8 | here |
//! |---|---|---|
//! | a second `.data` | panics | replaces the first |
//! | `.data("")` | is not written, so clients ignore the event | is dispatched, with empty data |
//! | CRLF in data | two line breaks | one |
//! | a line break in a comment | panics | starts another comment line |
//!
//! # What you lose
//!
//! - `Sse<S>` as the return type of a handler: `response` returns a plain `http::Response`.
//! - `Event::into_data_writer`, which writes data through `fmt::Write`.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Event, EventId, EventName, Heartbeat, SseLayer};
