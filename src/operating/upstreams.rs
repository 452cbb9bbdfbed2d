//! Upstreams: how to forward the event streams of another server, such as a language model's API.
//!
//! # Bytes or messages
//!
//! To forward a stream unchanged, return the upstream's response. The layer writes its heartbeats
//! between the upstream's lines and decodes nothing. The example [`proxy`] does so, except for
//! streams that it can resume.
//!
//! To change, drop or count messages, decode them with [`MessageStream`]:
//!
//! ```
//! use axum::response::{IntoResponse, Response};
//! use futures_util::TryStreamExt;
//! use http::StatusCode;
//! use tower_sse::{Event, MessageStream, StreamOptions};
//!
//! # #[cfg(feature = "axum")]
//! fn forward(upstream: Response) -> Response {
//!     // An error of the upstream is not an event stream.
//!     if upstream.status() != StatusCode::OK {
//!         return upstream;
//!     }
//!     let messages = MessageStream::new(upstream.into_body()).terminator("[DONE]");
//!     let events = messages.map_ok(|message| Event::from(message).comment("forwarded"));
//!     (StreamOptions::new().terminator("[DONE]"), tower_sse::response(events)).into_response()
//! }
//! ```
//!
//! # The end of an answer
//!
//! - **A terminator such as `[DONE]`** is an event of the upstream. Do not set the layer's
//!   [`terminator`](SseLayer::terminator) around a forwarded body. Clients would receive it twice.
//!   They would also receive it if the upstream ended cleanly in the middle of its answer.
//! - **[`MessageStream::terminator`]** ends the stream at the upstream's terminator, which it does
//!   not return, and fails if the upstream ends before it. The layer then sends its terminator only
//!   after a complete answer.
//! - **An upstream that breaks off** fails the body, so that the client does not take what it
//!   received for the whole answer. [`on_error`](SseLayer::on_error) sends an event instead, and
//!   [errors](super::errors) describes the exceptions.
//!
//! # The request
//!
//! - **Status.** Pass errors such as `429` on. In a stream, they would be a `200` without events.
//! - **`Last-Event-ID`.** Forward the header, so that the upstream can resume.
//! - **`Accept-Encoding`.** Do not forward it: the layer writes nothing into a compressed body.
//! - **Silence.** Heartbeats keep the client's connection open while the upstream is silent. To
//!   notice an upstream that has vanished, use [`MessageStream::max_silence`], or set a read timeout
//!   in the HTTP client.
//! - **Reconnecting.** The example [`proxy`] reconnects to an upstream that breaks off or is silent,
//!   with its last event id and growing delays, while the clients' streams stay open.
//! - **Disconnects.** When a client disconnects, the server drops the response, and with it the
//!   request to the upstream. To let the upstream finish its answer, use [runs](crate::runs).
//!
//! [`proxy`]: https://docs.rs/crate/tower-sse/latest/source/examples/proxy.rs

// Names for the links above.
#[allow(unused_imports)]
use crate::{MessageStream, SseLayer};
