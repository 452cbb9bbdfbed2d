//! What to do if a program does not compile, or runs but misbehaves.
//!
//! # If it does not compile
//!
//! The texts are those of Rust 1.95; `…` stands for parts that differ.
//!
//! ## A bare stream as an axum response
//!
//! ```text
//! error[E0277]: the trait bound `fn() -> … {events}: Handler<_, _>` is not satisfied
//! error[E0277]: the trait bound `…: IntoResponse` is not satisfied
//! ```
//!
//! The handler returns a stream, which is not a response of axum. Pass it to
//! [`response`](crate::response):
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
//! ## Extractors or options without feature `axum`
//!
//! ```text
//! error[E0277]: the trait bound `fn(…) -> … {events}: Handler<_, _>` is not satisfied
//! error[E0277]: the trait bound `tower_sse::StreamOptions: IntoResponseParts` is not satisfied
//! ```
//!
//! Without feature `axum`, [`LastEventId`](crate::LastEventId) and
//! [`Disconnect`](crate::Disconnect) are not extractors, and
//! [`StreamOptions`](crate::StreamOptions) are not a response part. Enable it:
//! `cargo add tower-sse --features axum`.
//!
//! ## Items that are not events
//!
//! ```text
//! error[E0277]: `…` is not an event
//! ```
//!
//! Convert the items into one of [these types](crate::Encode). axum's own `Event` belongs in axum's
//! `Sse`, which the layer accepts unchanged.
//!
//! ```
//! use futures_util::{Stream, StreamExt};
//! use tower_sse::Event;
//!
//! fn events(words: impl Stream<Item = String>) -> impl Stream<Item = Event> {
//!     words.map(Event::from)
//! }
//! ```
//!
//! ```text
//! error[E0277]: the trait bound `MyError: std::error::Error` is not satisfied
//! ```
//!
//! The `Err` of an item must convert into a [`BoxError`](crate::BoxError): implement
//! `std::error::Error`, or convert the error to a `String`.
//!
//! ## Data that is not text
//!
//! ```text
//! error[E0277]: the trait bound `String: From<…>` is not satisfied
//! ```
//!
//! A value becomes text by `value.to_string()`. With feature `json`, it becomes the data of an
//! event by `event.json_data(&value)`.
//!
//! ## Values that are published without JSON
//!
//! ```text
//! error[E0277]: `…` is not an event that can be published
//! ```
//!
//! [`Hub::publish`](crate::hub::Hub::publish) takes text and events. With feature `json`, a value
//! becomes an event by [`Json::new`](crate::Json::new), and an event with a name by
//! [`Event::json`](crate::Event::json). Both take references too:
//!
//! ```
//! # #[cfg(all(feature = "hub", feature = "json"))] {
//! use tower_sse::{Event, Json, hub::{Hub, PublishError}};
//!
//! async fn publish(hub: &Hub, point: &[i32; 2]) -> Result<(), PublishError> {
//!     hub.publish("points", Json::new(point)).await?;
//!     hub.publish("points", Event::new().event("moved").json(point)).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! ## A topic that is not a list
//!
//! ```text
//! error[E0277]: `…` is not a list of topics
//! ```
//!
//! [`Hub::subscribe`](crate::hub::Hub::subscribe) takes several topics, such as `["news", "chat"]`. For
//! one, call [`subscribe_to`](crate::hub::Hub::subscribe_to).
//!
//! ## A run that starts with a stream or an async closure
//!
//! ```text
//! error[E0277]: `…` is not a function that returns a stream of events
//! ```
//!
//! [`Runs::start`](crate::runs::Runs::start) takes a function that returns the stream, and calls it
//! only if it starts a run: `|| stream`. A source that must await before it has a stream, such as a
//! request to an upstream, is for `Runs::start_with`, which takes
//! `|| async { Result<Stream, Response> }`.
//!
//! ## Borrowed ids and names
//!
//! ```text
//! error[E0597]: `text` does not live long enough
//! error[E0521]: borrowed data escapes outside of function
//! ```
//!
//! `.id(text)` and `.event(text)` accept a `&str` only if it is a literal, because other text must
//! be validated. Use `try_id` and `try_event`:
//!
//! ```
//! use tower_sse::{Event, InvalidField};
//!
//! fn row(cursor: &str, text: &str) -> Result<Event, InvalidField> {
//!     Ok(Event::new().try_id(cursor)?.data(text))
//! }
//! ```
//!
//! ## A stream that borrows from its handler
//!
//! ```text
//! error[E0515]: cannot return value referencing local variable `words`
//! ```
//!
//! Move the data into the stream, here by `into_iter` instead of `iter`:
//!
//! ```
//! use axum::response::IntoResponse;
//! use futures_util::stream;
//! use tower_sse::Event;
//!
//! async fn events() -> impl IntoResponse {
//!     let words = vec![String::from("one")];
//!     tower_sse::response(stream::iter(words.into_iter().map(Event::from)))
//! }
//! ```
//!
//! ## A stream that is not `Send`
//!
//! ```text
//! error[E0277]: `Rc<…>` cannot be sent between threads safely
//! ```
//!
//! axum requires bodies that are `Send`. Use an `Arc`, and release guards of locks before each
//! `.await`.
//!
//! ## A layer in a struct
//!
//! ```text
//! error[E0277]: `SseLayer` can't make an event stream of `…`
//! ```
//!
//! A field of type `SseLayer` is for services that return a response. For those that return a
//! stream, write the [marker](crate::marker):
//!
//! ```
//! use tower_sse::{SseLayer, marker};
//!
//! struct App {
//!     routes: SseLayer,
//!     events: SseLayer<marker::Events>,
//! }
//! ```
//!
//! # If it runs but misbehaves
//!
//! - **There are no heartbeats, and options have no effect.** The layer is missing, or was added
//!   before the route. For streams of this crate, feature `tracing` logs a
//!   [warning](crate::response#without-a-layer). Call `.layer(SseLayer::new())` after the routes.
//! - **There are no heartbeats, although the layer is there.** The response was compressed
//!   inside the layer, which writes nothing into it then: put the compression
//!   [outside](crate::operating::compression).
//! - **Events arrive late, or several at a time.** Something holds them back: a
//!   [proxy](crate::operating::proxies), a [compressor](crate::operating::compression), Nagle's
//!   algorithm without [`TCP_NODELAY`](crate::operating::proxies#sockets), or `curl` without `-N`.
//! - **Every stream ends after the same time.** A proxy or a middleware has a timeout. Raise it,
//!   or, if it is an idle timeout, send [heartbeats](crate::SseLayer::heartbeat) more often.
//! - **An `EventSource` stops for good.** It received a status other than 200 or another content
//!   type, often from a middleware such as a rate limiter. The refusals of
//!   [`max_streams`](crate::SseLayer::max_streams) make it reconnect instead.
//! - **An `EventSource` requests a finished stream again and again.** It reconnects after every
//!   end. [Answer with `204`, or send a last
//!   event](crate::operating::clients#streams-that-are-over-for-good) at which the page closes it.
//! - **After a reconnection, a client misses events or receives them twice.** The events have no
//!   id, or the handler ignores [`LastEventId`](crate::LastEventId). Set
//!   [`Event::id`](crate::Event::id) and continue after the last id, or use a [hub](crate::hub).
//! - **`curl` shows an event that the page does not receive.** The event has a name: listen for it
//!   with `addEventListener`, not with `onmessage`. Or it has no [data](crate::Event::data), not
//!   even an empty text.
//! - **The seventh tab waits forever.** Browsers open only six connections to an origin over
//!   HTTP/1.1. Serve HTTP/2, or share one stream among the tabs through a `SharedWorker`.
//! - **The shutdown hangs.** The graceful shutdown of a server waits for every body. Set
//!   [`SseLayer::shutdown`](crate::SseLayer::shutdown) and [a
//!   deadline](crate::operating::shutdown#the-deadline).
//! - **Work continues after its client has left.** A task that the handler spawned is not part of
//!   the stream. Stop it with [`Disconnect`](crate::Disconnect),
//!   which [`track_disconnects`](crate::SseLayer::track_disconnects) turns on.
