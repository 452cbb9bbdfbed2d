//! Coming from another implementation: what to write instead of its types, and what behaves
//! differently.
//!
//! | from | start with |
//! |---|---|
//! | [axum's `Sse`](self::axum) | keep it, add the layer, drop `KeepAlive` |
//! | [actix-web-lab's `Sse`](actix_web_lab) | move the handlers: actix-web does not use Tower |
//! | [warp's `sse`](self::warp) | keep it, add the layer around `warp::service` |
//! | [poem's `SSE`](self::poem) | mount a Tower service in the poem `Route` |
//! | [ASP.NET Core](aspnet_core) | return a stream of [`Json`](crate::Json) events |
//!
//! # What changes with every move
//!
//! - **Heartbeats** are on, after 15 seconds without a byte. A heartbeat is the line `:` alone,
//!   because several clients take `:` with an empty line for an empty event.
//! - **Headers.** The layer sets `x-accel-buffering: no` for nginx, and adds `no-transform` to
//!   `cache-control`.
//! - **`Last-Event-ID`.** The layer reads it into [`LastEventId`]. The extractor never rejects a
//!   request, because a `400` would stop an `EventSource` for good.
//! - **Untrusted text** cannot forge fields. [`EventName`](crate::EventName) and
//!   [`EventId`](crate::EventId) are validated when they are created. Each CR, LF or CRLF in data
//!   is one line break.
//! - **Errors.** The events before an error of the source are sent first. Then the body fails, or a
//!   [last event](SseLayer::on_error) is sent; [cancellations](SseLayer::cancellation_if) are an
//!   exception.
//! - **Ends.** After a clean end, but not after an error, the layer can send a
//!   [`terminator`](SseLayer::terminator) such as `[DONE]`.
//! - **Shutdown.** With [`SseLayer::shutdown`], open streams no longer delay the server's graceful
//!   shutdown.
//!
//! # What you give up
//!
//! - Heartbeats, headers and ends come from the layer. A route outside of it has none of them.
//! - [`response`](crate::response) returns a plain `http::Response`. No type like axum's `Sse`
//!   marks the handler's signature as an event stream, for readers or for tools that derive an API
//!   description.
//! - Heartbeats, the maximum age and the shutdown need a tokio runtime with a timer.

pub mod actix_web_lab;
pub mod aspnet_core;
pub mod axum;
pub mod poem;
pub mod warp;

// Names for the links above.
#[allow(unused_imports)]
use crate::{LastEventId, SseLayer};
