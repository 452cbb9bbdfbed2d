//! Answering before the service does: [`EarlyHeadLayer`] sends the response head of a slow call,
//! and its answer follows.
//!
//! Your handler waits for a model or a queue, and nginx cuts the request after 60 seconds.
//! Heartbeats don't help, because they begin after the response head, and the handler hasn't
//! returned one yet. An `EventSource` that gets the proxy's `504` stops for good.
//!
//! This layer waits for the handler up to a limit, and then sends the head itself: `200` and
//! `text/event-stream`. From then on [`SseLayer`](crate::SseLayer) sends heartbeats, every 15
//! seconds by default, and the events follow when the handler has them. A handler that answers in
//! time isn't touched, so a quick `401` or `429` keeps its status, headers and body.
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
//! For a call that takes 70 seconds:
//!
//! ```text
//!             0 s        10 s               25 s  40 s  55 s  70 s
//! browser     request →  200, first byte    :     :     :     events, end
//! nginx       waits      forwards           its 60 seconds start anew each time
//! this layer  waits      sends the head     polls the handler in the body
//! handler     works ────────────────────────────────────────→ returns its stream
//! ```
//!
//! Try it with the example
//! [`early_head`](https://docs.rs/crate/tower-sse/latest/source/examples/early_head.rs). The layer
//! spawns no task. The call moves into the body, so the handler still stops when the client leaves.
//!
//! # Which requests
//!
//! By default, the layer acts on `GET` requests whose `Accept` names `text/event-stream`. For a
//! `POST`, headers don't tell: OpenAI's clients send the same ones with `"stream": true` and
//! `"stream": false`. So decide about a `POST` in the handler, which has read the body:
//!
//! ```
//! use std::time::Duration;
//!
//! # #[cfg(feature = "json")] {
//! use axum::{Json, Router, response::IntoResponse, response::Response, routing::post};
//! use serde_json::Value;
//! use tower_sse::{SseLayer, early_head::EarlyHeadLayer, early_head::openai_error};
//!
//! # async fn complete(_: Value) -> Response { ().into_response() }
//! async fn chat(Json(body): Json<Value>) -> Response {
//!     if body["stream"] != true {
//!         return complete(body).await;
//!     }
//!     // As an error that the client understands, if it comes late.
//!     let early = EarlyHeadLayer::new(Duration::from_secs(10)).late_event(openai_error);
//!     early.answer(complete(body)).await.into_response()
//! }
//!
//! let app: Router = Router::new().route("/chat", post(chat)).layer(SseLayer::new());
//! # }
//! ```
//!
//! Nothing can be sent early to a client that waits for JSON: raise the proxy's timeout. If the
//! request's head tells what the client expects, use [`EarlyHeadLayer::when`].
//!
//! # Late answers
//!
//! After the head, the status can no longer change. What the client receives depends on the answer:
//!
//! | late answer | the client receives |
//! |---|---|
//! | an event stream with a `2xx` status and without a content coding | its bytes, as they arrive |
//! | another response, with [`late_event`](EarlyHeadLayer::late_event) | the event that your closure returns, then a clean end; or a failed body, if it returns `None`, or the answer has more than 64 KiB or a content coding |
//! | another response, without `late_event` | a failed body |
//! | an error of the service | a failed body |
//! | a panic | a cut connection, or over HTTP/2 a reset stream |
//!
//! Clients don't take a failed body for a whole one: reading the body of a `fetch` rejects, curl
//! exits with 18 over HTTP/1.1, and an `EventSource` reconnects, so your handler runs again. A
//! `204` or `4xx` in time would have stopped the `EventSource`. If it comes late, and no event of
//! yours takes its place, the layer sends the `EventSource` the event `interrupted`, and answers
//! its next request with `204`. With `late_event`, or after [`EarlyHeadLayer::answer`], give the
//! event a name, and let the page call `close()`. The terminator doesn't follow the event of an
//! error.
//!
//! If another response fails the body, the error is a [`LateResponse`], which
//! [`on_error`](crate::SseLayer::on_error) can turn into an event. For OpenAI's and Anthropic's
//! SDKs, give `openai_error` or `anthropic_error` (feature `json`) to `late_event`, and the SDK
//! throws the error. Its status is in the body, so the SDK's own retries don't see it.
//!
//! Over HTTP/1.0, a failed body looks like a clean end. nginx up to 1.29.6 speaks it to its
//! upstream by default, so set `proxy_http_version 1.1`.
//!
//! # What is lost
//!
//! A late answer loses its status, its headers and its cookies. Headers that every response needs,
//! such as those of CORS, must come from a layer outside of this one. The answer's
//! [`StreamOptions`](crate::StreamOptions) still apply, except `retry` and `padding`, which belong
//! to the stream's first bytes, and `drain` if the shutdown has begun. Subjects that the handler
//! adds late count for closes, but a limit can no longer refuse the stream. If a hub's topic has
//! ended, a late answer can't say so with a `204`: the `EventSource` comes back once more.
//!
//! After the head, the call runs in the body, and no longer within middleware outside of this
//! layer. So put layers that set task-locals or tracing spans for the handler inside of this one.
//!
//! # The first byte
//!
//! Cloudflare holds a head back until a byte of the body follows, so one follows at once: the
//! [`retry`](crate::SseLayer::retry) line or the [padding](crate::SseLayer::padding) if the stream
//! starts with one, and otherwise the layer's heartbeat. For `@google/genai`, set a heartbeat that
//! is an [event](crate::Heartbeat::event), because it [loses the event behind a
//! comment](crate::guide::upstreams#the-request).
//!
//! # With other layers
//!
//! In axum, a layer that is added later is outside. Put this layer directly inside of
//! [`SseLayer`](crate::SseLayer). In the other order, nothing sends the first byte or heartbeats.
//!
//! - **Authentication, CORS, rate limits, sessions, compression** go outside. If one of them
//!   answers with `401` or `429`, the client gets this status. Change a session before the early
//!   head: its cookie can't be set afterwards.
//! - **Runs** go inside. A client that joins a run whose call hasn't answered gets its early head too.
//!   The run layer sees the real status, so a call that fails starts no run.
//! - **Timeouts and concurrency limits** go inside, where a timeout becomes a late answer. Outside,
//!   they no longer apply after the head.
//! - **Filters** work on either side, but [`hold_head`](crate::filter::FilterLayer::hold_head) outside
//!   of this layer holds the early head back.
//! - **[`max_streams`](crate::SseLayer::max_streams)** counts the stream from the early head. If the
//!   limit is reached, the client is refused then, and the call is dropped.
//! - **[`shutdown`](crate::SseLayer::shutdown)** treats the waiting stream as any other: a `GET`
//!   ends at once, and its handler is dropped. Requests by other methods have 30 seconds to finish.
//! - **[`require_accept`](crate::SseLayer::require_accept)** answers a client that doesn't accept
//!   event streams with `406` instead of the early head. By default, such requests get no early
//!   head. If you set `when` or call `answer`, leave them out yourself.

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
