//! Coming from actix-web-lab's `Sse`: move the handlers to axum or hyper.
//!
//! actix-web has its own middleware and HTTP types, so no Tower layer runs in it. Move the routes
//! that stream, or serve them from a second listener in the same process.
//!
//! Before (actix-web-lab 0.29):
//!
//! ```rust,ignore
//! #[get("/events")]
//! async fn events() -> impl Responder {
//!     let (sender, receiver) = mpsc::channel(16);
//!     tokio::spawn(produce(sender));
//!     Sse::from_infallible_receiver(receiver)
//!         .with_keep_alive(Duration::from_secs(15))
//!         .with_retry_duration(Duration::from_secs(5))
//! }
//! ```
//!
//! After:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, response::IntoResponse, routing::get};
//! use tokio::sync::mpsc;
//! use tokio_stream::wrappers::ReceiverStream;
//! use tower_sse::{Event, SseLayer};
//! # async fn produce(_: mpsc::Sender<Event>) {}
//!
//! async fn events() -> impl IntoResponse {
//!     let (sender, receiver) = mpsc::channel(16);
//!     tokio::spawn(produce(sender));
//!     tower_sse::response(ReceiverStream::new(receiver))
//! }
//!
//! let layer = SseLayer::new().retry(Duration::from_secs(5));
//! let app: Router = Router::new().route("/events", get(events)).layer(layer);
//! ```
//!
//! What corresponds to the items of actix-web-lab:
//!
//! - `Data::new(t)`: [`Event::from(t)`](Event)
//! - `Data::new_json(v)`: [`Json::new(v)`](crate::Json::new)
//! - `Event::Comment`: [`.comment(text)`](Event::comment)
//! - `from_stream`: [`response`](crate::response)
//! - `with_keep_alive`: [`heartbeat`](SseLayer::heartbeat)
//! - `with_retry_duration`: [`retry`](SseLayer::retry)
//! - a `Broadcaster` with a `Vec` of senders: a [hub](crate::hub), with
//!   [`publish`](crate::hub::Hub::publish) instead of a loop over the senders. It has neither a task
//!   that pings nor a list of clients to clean: the layer sends heartbeats, and a subscription ends
//!   when its client disconnects.
//! - `shutdown_timeout`: [a deadline](crate::operating::shutdown#the-deadline)
//!
//! # What behaves differently
//!
//! - **Keep-alive**: actix-web-lab sends `: keep-alive` and an empty line, the first one as soon as
//!   the source is pending, then at a fixed rate. Here, `:` without an empty line is sent after 15
//!   seconds without a byte.
//! - **Invalid ids and names**: in actix-web-lab, an event with a line break in its id fails the
//!   body when it is sent. Here, [`EventId::try_from`](crate::EventId) returns an error when the id
//!   is made.
//! - **Compression**: `content-encoding: identity` keeps actix-web's compressor away. Here,
//!   tower-http's compressor ignores event streams unless its
//!   [predicate](crate::operating::compression) admits them.
//! - **Shutdown**: actix-web waits for its shutdown timeout, 30 seconds by default, and then drops
//!   the connections. Here, [`shutdown`](SseLayer::shutdown) ends the streams so that their clients
//!   reconnect.
//! - **`Last-Event-ID`**: the handler extracts [`LastEventId`](crate::LastEventId) instead of
//!   reading the header.
//!
//! # What you lose
//!
//! - actix-web's extractors and middleware on these routes.
//! - `from_receiver`: wrap the channel in a `ReceiverStream` of tokio-stream.
//! - Streams that are not `Send`: axum, and hyper's multi-threaded servers, require `Send` bodies.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Event, SseLayer};
