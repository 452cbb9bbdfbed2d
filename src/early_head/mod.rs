//! An early response head for handlers that take longer to answer than a proxy waits (feature
//! `early-head`).
//!
//! Your handler waits for a model or a queue. By default, nginx gives up after 60 seconds and
//! answers with `504`, which stops an `EventSource` for good. Heartbeats don't help: they begin
//! only once the handler has returned the response head.
//!
//! If the handler hasn't answered within a limit you set, [`EarlyHeadLayer`] sends the head
//! itself: `200` and `text/event-stream`. From then on, [`SseLayer`](crate::SseLayer) sends
//! heartbeats, every 15 seconds by default, and later the handler's events. An answer that comes in
//! time passes unchanged: a quick `401` or `429` keeps its status, headers and body.
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
//! A call that takes 70 seconds looks like this:
//!
//! ```text
//!             0 s        10 s               25 s  40 s  55 s  70 s
//! browser     request →  200, first byte    :     :     :     events, end
//! nginx       waits      forwards           its 60 seconds start anew each time
//! this layer  waits      sends the head     polls the handler in the body
//! handler     works ────────────────────────────────────────→ returns its stream
//! ```
//!
//! Try the example
//! [`early_head`](https://docs.rs/crate/tower-sse/latest/source/examples/early_head.rs). The
//! handler is dropped when the client disconnects, as it would be without this layer.
//!
//! # Which requests
//!
//! By default, the layer acts on `GET` requests whose `Accept` names `text/event-stream`. To decide
//! based on something else in the request's head, use [`EarlyHeadLayer::when`].
//!
//! For a `POST`, the head often isn't enough: OpenAI's clients send the same head with `"stream":
//! true` and `"stream": false`. Decide in the handler, which has read the body:
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
//! This layer can't help a client that waits for JSON: raise the proxy's timeout.
//!
//! # Late answers
//!
//! After the head, the status can no longer change. What the client receives depends on the answer:
//!
//! | late answer | the client receives |
//! |---|---|
//! | an event stream with a `2xx` status and without a content coding | its bytes, as they arrive |
//! | another response of up to 64 KiB, with [`late_event`](EarlyHeadLayer::late_event) | the event that your closure returns, then a clean end; [in some cases](EarlyHeadLayer::late_event) a failed body |
//! | the answer of a [cancelled](crate::runs::Outcome::Cancelled) run | a clean end, without a terminator |
//! | any other response | a failed body |
//! | an error from the service | a failed body |
//! | a panic | a cut connection, or over HTTP/2 a reset stream |
//!
//! A page with an `EventSource` can't read a `401`, a `429` or JSON. With `late_event` and a limit
//! of zero, it gets these as events, except one that is ready within about a millisecond.
//!
//! Most clients notice that a failed body is incomplete, but over HTTP/1.0, it looks like a clean
//! end. By default, nginx up to 1.29.6 uses HTTP/1.0 for its upstreams, so set `proxy_http_version
//! 1.1`.
//!
//! After a failed body, an `EventSource` reconnects, and your handler runs again. If an answer
//! comes in time, any status but `200` or a redirect stops the `EventSource`. If a `204` or `4xx`
//! comes late and `late_event` doesn't replace it, the `EventSource` gets an event with the id
//! `tower-sse:interrupted`. This is the event that `on_error` returns, or else an event named
//! `interrupted`. [`EarlyHeadLayer`] then answers this client's next request with `204`, so don't
//! give this id to events of your own.
//!
//! With `late_event` or [`EarlyHeadLayer::answer`], stop the `EventSource` in the page: give the
//! late event a name and call `close()` when the event arrives. No
//! [`terminator`](crate::SseLayer::terminator) follows an event that reports an error. It does if
//! middleware between the two layers drops the response's extensions.
//!
//! For OpenAI's and Anthropic's SDKs, pass `openai_error` or `anthropic_error` (feature `json`) to
//! `late_event`. The SDK then throws the error, but doesn't retry.
//!
//! Where the table says that a response makes the body fail, the error is a [`LateResponse`],
//! unless the response's own body failed. [`on_error`](crate::SseLayer::on_error) can turn this
//! error into an event.
//!
//! # What is lost
//!
//! A late answer loses its status and its headers, including cookies. Put layers that add headers
//! to every response, such as CORS, outside this one. The answer's
//! [`StreamOptions`](crate::StreamOptions) apply from the answer on, except for `padding` and
//! `long_poll`. If this layer is inside a [`RunLayer`](crate::runs::RunLayer), all of them are
//! [lost](EarlyHeadLayer::answer). A late [`Refusal`](crate::Refusal) isn't counted.
//!
//! If a hub's topic has ended, the late answer can't be a `204`, so the `EventSource` reconnects.
//!
//! If the handler adds a [subject](crate::streams::Subjects::add) after the early head, the stream
//! counts towards the subject's [limit](crate::streams#limits-for-each-subject) at once. A logout
//! since the request's arrival then ends the stream and drops the handler.
//!
//! Put layers that set task-locals for the handler inside this one. After the head, outer layers
//! no longer wrap the call.
//!
//! # The first byte
//!
//! Some proxies, reportedly Cloudflare, hold the head back until the body's first byte, so
//! `SseLayer` sends something at once. That's the stream's [`retry`](crate::SseLayer::retry) line
//! or [padding](crate::SseLayer::padding). A stream with neither gets a heartbeat, or an empty
//! comment if heartbeats are off. For `@google/genai`, set a heartbeat that is an
//! [event](crate::Heartbeat::event): this client [loses the event after a
//! comment](crate::guide::upstreams#the-request).
//!
//! # With other layers
//!
//! In axum, the layer that you add last is the outermost. Put this layer inside
//! [`SseLayer`](crate::SseLayer). In the other order, neither the first byte nor heartbeats are
//! sent before the answer.
//!
//! - **Authentication, CORS, rate limits, sessions and compression** go outside. Even a slow `401`
//!   or `429` then keeps its status. A handler must change the session before the early head: later
//!   changes can be lost.
//! - **Runs** go inside. If a model refuses the call late, only the client that made the call
//!   learns why. So have it read its response to the end, and attach with an `EventSource` only if
//!   the response breaks off, as [this page](crate::guide::assistant#the-page) does.
//! - **tower-http's `CatchPanicLayer`** goes inside, where it turns a late panic into a late `500`.
//! - **Timeouts and concurrency limits** go inside. If they're outside, they stop applying once the
//!   early head has been sent.
//! - **Filters** work on either side, but [`hold_head`](crate::filter::FilterLayer::hold_head)
//!   outside this layer holds the early head back.
//! - **[`max_streams`](crate::SseLayer::max_streams)** counts the stream as soon as the early head
//!   is sent. If the limit is reached by then, the client is refused and the call is dropped.
//! - **Another `SseLayer`** inside this layer also opens the stream once the handler has
//!   answered, so both layers count and report it. If they are clones of one layer, the stream
//!   counts twice towards `max_streams`.
//! - **[`shutdown`](crate::SseLayer::shutdown)** by default ends the stream of a `GET` at once and
//!   drops its handler. Requests with other methods have 30 seconds to finish. Unless you use
//!   `answer`, a request that waits for a run of this process gets the run's answer first. The
//!   answer then ends as its [`drain`](crate::StreamOptions::drain) says, or else as the layer's
//!   drain says.
//! - **[`require_accept`](crate::SseLayer::require_accept)** sends `406` instead of the early head
//!   if the client doesn't accept event streams. So check `Accept` in your `when` closure, or
//!   before you call `answer`. Otherwise, a client that wants JSON can get a `406`.

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
