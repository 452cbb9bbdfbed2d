//! If a handler is slow, [`EarlyHeadLayer`] sends the response head, and the handler's answer
//! follows.
//!
//! Your handler waits for a model or a queue, and nginx times out after 60 seconds and answers with
//! `504`. Heartbeats don't help, because they begin after the response head, and the handler hasn't
//! returned one yet. An `EventSource` that gets the proxy's `504` stops for good.
//!
//! This layer waits for the handler up to a limit, and then sends the head itself: `200` and
//! `text/event-stream`. From then on [`SseLayer`](crate::SseLayer) sends heartbeats, every 15
//! seconds by default, and the events follow when the handler has them. An answer in time passes
//! unchanged: a quick `401` or `429` keeps its status, headers and body.
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
//! `POST`, the headers don't show what the client expects: OpenAI's clients send the same ones with
//! `"stream": true` and `"stream": false`. So for a `POST`, decide in the handler, which has read
//! the body:
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
//! This layer can't help a client that waits for JSON: raise the proxy's timeout. If the request's
//! head tells what the client expects, use [`EarlyHeadLayer::when`].
//!
//! # Late answers
//!
//! After the head, the status can no longer change. What the client receives depends on the answer:
//!
//! | late answer | the client receives |
//! |---|---|
//! | an event stream with a `2xx` status and without a content coding | its bytes, as they arrive |
//! | another response, with [`late_event`](EarlyHeadLayer::late_event) | the event that your closure returns, then a clean end. The body fails instead if the closure returns `None`, or if the answer has more than 64 KiB or a content coding. |
//! | another response, without `late_event` | a failed body |
//! | an error from the service | a failed body |
//! | a panic | a cut connection, or over HTTP/2 a reset stream |
//!
//! Most clients notice that a failed body is incomplete. With `fetch`, reading the body rejects.
//! curl exits with 18 over HTTP/1.1. An `EventSource` reconnects, so your handler runs again. A
//! `204` or `4xx` in time would have stopped the `EventSource`. If such an answer comes late, and
//! `late_event` doesn't replace it, the `EventSource` gets an event with the id `interrupted`. It's
//! the event from `on_error`, or else one named `interrupted`. The layer then answers the client's
//! next request with `204`. With `late_event` or [`EarlyHeadLayer::answer`], the page must stop the
//! `EventSource`: give the event a name, and call `close()` when it arrives. After an event that
//! reports an error, `SseLayer` sends no [`terminator`](crate::SseLayer::terminator).
//!
//! If a late response is neither passed on nor turned into an event, the body fails with a
//! [`LateResponse`]. [`on_error`](crate::SseLayer::on_error) can turn it into an event. For
//! OpenAI's and Anthropic's SDKs, pass `openai_error` or `anthropic_error` (feature `json`) to
//! `late_event`. The SDK then throws the error. The status is only in the event, so the SDK doesn't
//! retry by itself.
//!
//! Over HTTP/1.0, a failed body looks like a clean end. By default, nginx up to 1.29.6 uses
//! HTTP/1.0 for its upstreams, so set `proxy_http_version 1.1`.
//!
//! # What is lost
//!
//! A late answer loses its status, its headers and its cookies. Headers that every response needs,
//! such as CORS headers, must come from a layer outside of this one. The answer's
//! [`StreamOptions`](crate::StreamOptions) still apply, except for three. `retry` and `padding`
//! don't, because they belong to the stream's first bytes. `drain` doesn't apply once the shutdown
//! has begun. If the handler adds subjects late, closing a subject still closes the stream. But a
//! subject's limit can no longer refuse the stream. If a hub's topic has ended, a late answer can't
//! say so with a `204`, so the `EventSource` reconnects.
//!
//! After the head, the call runs inside the body, so most middleware outside of this layer no
//! longer wraps it. Put layers that set task-locals for the handler inside of this one. The span of
//! tower-http's `TraceLayer` covers the call from outside too.
//!
//! # The first byte
//!
//! Cloudflare holds a head back until a byte of the body follows, so `SseLayer` sends something at
//! once. If the stream starts with a [`retry`](crate::SseLayer::retry) line or
//! [padding](crate::SseLayer::padding), it sends that. Otherwise, it sends its heartbeat, or an
//! empty comment if heartbeats are off. For `@google/genai`, set a heartbeat that is an
//! [event](crate::Heartbeat::event), because this client [loses the event after a
//! comment](crate::guide::upstreams#the-request).
//!
//! # With other layers
//!
//! In axum, the layer that you add last is the outermost. Put this layer directly inside of
//! [`SseLayer`](crate::SseLayer). In the other order, nothing sends the first byte or heartbeats.
//!
//! - **Authentication, CORS, rate limits, sessions, compression** go outside. If one of them
//!   answers with `401` or `429`, the client gets this status. Change a session before the early
//!   head: its cookie can't be set afterwards.
//! - **Runs** go inside. If a client joins a run whose call hasn't answered yet, that client gets
//!   an early head too. The run layer sees the real status, so a call that fails starts no run.
//! - **Timeouts and concurrency limits** go inside, where a timeout becomes a late answer. Outside,
//!   they no longer apply after the head.
//! - **Filters** work on either side, but [`hold_head`](crate::filter::FilterLayer::hold_head) outside
//!   of this layer holds the early head back.
//! - **[`max_streams`](crate::SseLayer::max_streams)** counts the stream from the early head. If
//!   the limit has been reached by that time, the client is refused and the call is dropped.
//! - **[`shutdown`](crate::SseLayer::shutdown)** treats the waiting stream like any other: by
//!   default, a `GET` ends at once, and its handler is dropped. Requests with other methods have 30
//!   seconds to finish.
//! - **[`require_accept`](crate::SseLayer::require_accept)** sends `406` instead of the early head
//!   if the client doesn't accept event streams. By default, such requests get no early head. If
//!   you set `when` or call `answer`, you must exclude such requests yourself.

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
