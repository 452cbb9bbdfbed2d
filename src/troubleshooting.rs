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
//! [`LastEventId`](crate::LastEventId) and [`Disconnect`](crate::Disconnect) are extractors, and
//! [`StreamOptions`](crate::StreamOptions) are a part of a response, only with feature `axum`: `cargo
//! add tower-sse --features axum`.
//!
//! ## Items that are not events
//!
//! ```text
//! error[E0277]: `…` is not an event
//! ```
//!
//! A stream has items of [these types](crate::Encode). Convert others. axum's own `Event` belongs in
//! axum's `Sse`, which the layer accepts unchanged.
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
//! ## Borrowed text
//!
//! ```text
//! error[E0597]: `text` does not live long enough
//! error[E0521]: borrowed data escapes outside of function
//! ```
//!
//! Events outlive the function that makes them, so `.data(text.as_str())` and `.id(text)` accept only
//! literals. Copy the text:
//!
//! ```
//! use tower_sse::{Event, InvalidField};
//!
//! fn row(cursor: &str, text: &str) -> Result<Event, InvalidField> {
//!     Ok(Event::new().try_id(cursor)?.data(text.to_owned()))
//! }
//! ```
//!
//! ```text
//! error[E0515]: cannot return value referencing local variable `words`
//! ```
//!
//! The stream borrows from the handler. Move the data into it, here by `into_iter` in place of `iter`:
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
//! | symptom | cause | fix |
//! |---|---|---|
//! | There are no heartbeats, options have no effect, and the log may say `an event stream is served without SseLayer` | The layer is missing, or was added before the route | Call `.layer(SseLayer::new())` after the routes |
//! | There are no heartbeats, but the other options have an effect | The runtime has no timers, or the response was compressed inside the layer | Build the runtime with `enable_all`; put compression [outside](crate::operating#compression) |
//! | Events arrive late, or several at a time | A proxy or a compressor buffers them, or Nagle's algorithm delays them; `curl` needs `-N` | See [proxies](crate::operating#proxies), [compression](crate::operating#compression) and [`TCP_NODELAY`](crate::operating#sockets) |
//! | Every stream ends after the same time | A timeout of a proxy or of a middleware | [Send heartbeats](crate::SseLayer::heartbeat) more often than the timeout; limits of the total time must be raised |
//! | An `EventSource` stops for good | It received another status than 200, or another content type, often from a middleware | Let the middleware pass event streams; refuse with [`max_streams`](crate::SseLayer::max_streams) |
//! | An `EventSource` requests a finished stream again and again | It reconnects after every end | [Answer `204`, or send a last event](crate::operating#a-stream-that-is-over-for-good) at which the page closes it |
//! | After a reconnection, a client misses events or receives them twice | The events have no id, or the handler ignores [`LastEventId`](crate::LastEventId) | Set [`Event::id`](crate::Event::id) and continue after the last id, or use a [hub](crate::hub) |
//! | `curl` shows an event, but the page does not receive it | The event has a name and the page uses only `onmessage`, or the event has no data | Listen with `addEventListener(name, …)`; set [`data`](crate::Event::data) |
//! | The seventh tab waits forever | Browsers open six connections to a host over HTTP/1.1 | Serve [HTTP/2](crate::operating#sockets), or share one stream among tabs by a `SharedWorker` |
//! | The shutdown hangs | A graceful shutdown waits for every body | Set [`shutdown`](crate::SseLayer::shutdown), and [a deadline](crate::operating#graceful-shutdown) |
//! | Work continues after its client has left | A spawned task is not part of the stream | Stop it by [`Disconnect`](crate::Disconnect) |
