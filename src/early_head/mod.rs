//! Answering before the service does: [`EarlyHeadLayer`] sends the response head of a slow call, and
//! its answer follows.
//!
//! Your handler waits for a model or a queue, and nginx cuts the request after 60 seconds. Heartbeats
//! don't help, because they begin after the response head, and the handler hasn't returned one yet.
//! An `EventSource` that gets the proxy's `504` stops for good.
//!
//! This layer gives the handler a time limit, and then sends the head without it: `200` and
//! `text/event-stream`. From then on [`SseLayer`](crate::SseLayer) sends heartbeats, and the events
//! follow when the handler has them. A handler that answers in time isn't touched, so a quick `401`
//! or `429` keeps its status, headers and body.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, SseLayer, early_head::EarlyHeadLayer};
//!
//! # async fn summarize() -> Vec<String> { Vec::new() }
//! async fn summary() -> impl IntoResponse {
//!     let lines = summarize().await; // takes minutes
//!     tower_sse::response(stream::iter(lines.into_iter().map(Event::from)))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/summary", get(summary))
//!     .layer(EarlyHeadLayer::new(Duration::from_secs(10)))
//!     .layer(SseLayer::new());
//! ```
//!
//! # Who waits for what
//!
//! For a call of 70 seconds:
//!
//! ```text
//!             0 s        10 s               25 s  40 s  55 s  70 s
//! browser     request →  200, first byte    :     :     :     events, end
//! nginx       waits      forwards           its 60 seconds start anew each time
//! this layer  waits      sends the head     polls the handler in the body
//! handler     works ────────────────────────────────────────→ returns its stream
//! ```
//!
//! The layer spawns no task. The call moves into the body, so the handler stops when the client
//! leaves, just as it does before the head.
//!
//! # Which requests
//!
//! By default, `GET` requests whose `Accept` names `text/event-stream`. You might expect that a `POST`
//! to a model's API is one too. It isn't, because the official clients of OpenAI send the same
//! headers with `"stream": false`, and would get an event stream where they expect JSON. Call
//! [`EarlyHeadLayer::answer`] in the handler, which has read the body, or choose requests by their
//! head with [`EarlyHeadLayer::when`].
//!
//! # Late answers
//!
//! After the head, the status can no longer change. What happens depends on the handler's answer:
//!
//! | late answer | the client receives |
//! |---|---|
//! | an event stream with a `2xx` status and without a content coding | its bytes, as they come |
//! | anything else, with [`late_event`](EarlyHeadLayer::late_event) | the event that your closure returns, then a clean end |
//! | anything else, without `late_event` | a failed body, so that nobody takes the answer for whole |
//! | `204` or `4xx`, for an `EventSource` without `late_event` | the event `interrupted`; the next request gets `204`, which stops the client |
//! | an error of the service | a failed body |
//! | a panic | an aborted connection |
//!
//! The body fails with a [`LateResponse`], which [`on_error`](crate::SseLayer::on_error) can turn
//! into an event. OpenAI's and Anthropic's SDKs have an error type of their own for errors within a
//! stream: give `openai_error` or `anthropic_error` (feature `json`) to `late_event`, and the SDK
//! throws it. Such an error has the status in its body, not as its HTTP status, so the SDK's own
//! retries don't see it.
//!
//! Over HTTP/1.0 a failed body looks like a clean end. nginx speaks HTTP/1.0 to its upstream by
//! default up to version 1.29.6, so set `proxy_http_version 1.1`, or use `late_event`.
//!
//! # What is lost
//!
//! A late answer loses its status, its headers and its cookies: session middleware outside of this
//! layer has saved its session by then. The answer's [`StreamOptions`](crate::StreamOptions) still
//! apply, except for `retry` and `padding`, which belong to the stream's first bytes. Subjects that
//! the handler adds late count for later closes, but a limit can no longer refuse the stream.
//!
//! # The first byte
//!
//! Cloudflare holds a head back until a byte of the body follows, so one follows at once: the
//! `retry` line for an `EventSource`, and the layer's heartbeat for all other clients. By default
//! that is a comment. The npm package `@google/genai` loses the event behind a comment; for its
//! requests, set a heartbeat that is an [event](crate::Heartbeat::event).
//!
//! # With other layers
//!
//! Put this layer directly inside of [`SseLayer`](crate::SseLayer). Layers that authenticate or limit
//! requests go outside of both, where their `401` and `429` are always in time.
//!
//! - **Runs**: inside. A client that joins a run whose call has not answered gets its early head too,
//!   and an error starts no run.
//! - **Filters**: on either side. `hold_head` outside of this layer holds the early head back.
//! - **Timeouts**: inside, where a timeout becomes a late answer. Outside, a timeout ends with the
//!   head, and no longer limits the call.
//! - **[`max_streams`](crate::SseLayer::max_streams)** counts the stream from the early head. If the
//!   limit is reached, the client is refused then, and the call is dropped.
//! - **[`shutdown`](crate::SseLayer::shutdown)** treats the waiting stream as any other: a `GET` ends
//!   at once, and a call has 30 seconds to finish.
//! - **[`require_accept`](crate::SseLayer::require_accept)** answers `406` at the early head to a
//!   client that does not accept event streams. Such requests should not get one.

mod early_head_body;
mod early_head_future;
mod early_head_layer;
mod late_response;

pub use self::early_head_body::EarlyHeadBody;
pub use self::early_head_future::EarlyHeadFuture;
pub use self::early_head_layer::{EarlyHeadLayer, EarlyHeadService};
pub use self::late_response::LateResponse;
#[cfg(feature = "json")]
pub use self::late_response::{anthropic_error, openai_error};
