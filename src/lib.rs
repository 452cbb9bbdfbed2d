//! A Tower layer for server-sent events on axum and hyper, and a hub that lets clients resume after
//! they reconnect.
//!
//! Your stream works on your machine. Behind a proxy, its events can arrive late, and nginx cuts it
//! off after 60 seconds of silence. Your next deployment waits for streams that never end. Clients
//! that reconnect have missed what you sent while they were away.
//!
//! [`SseLayer`] wraps your existing handlers. It asks proxies not to buffer or change the stream
//! and sends a heartbeat after 15 seconds without a byte. Options limit your streams, count them,
//! and end them at shutdown. A [hub] keeps recent events and sends clients what they missed.
//!
//! # A layer around what you have
//!
//! The layer applies to every response of type `text/event-stream`, whether it comes from axum's
//! `Sse`, a proxied upstream or an MCP server:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{
//!     Router,
//!     response::sse::{Event, Sse},
//!     routing::get,
//! };
//! use futures_util::{Stream, stream};
//! use tower_sse::SseLayer;
//!
//! async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     Sse::new(stream::iter([Ok(Event::default().data("one"))]))
//! }
//!
//! // The layer covers the routes above it.
//! let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
//! ```
//!
//! Other responses pass through unchanged. The guide says what changes if you [come from axum's
//! `Sse` or another framework](guide::coming_from).
//!
//! # Events of your own
//!
//! [`response`] turns any stream of [`Event`]s into a response. An `EventSource` that reconnects
//! sends the last id it received, and your handler continues from there:
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, LastEventId, SseLayer};
//!
//! # #[cfg(feature = "axum")]
//! async fn count(last: Option<LastEventId>) -> impl IntoResponse {
//!     // An id that is not a number is treated like a first visit.
//!     let last: Option<u64> = last.and_then(|last| last.parse().ok());
//!     let next = last.map_or(1, |last| last.saturating_add(1));
//!     tower_sse::response(stream::iter((next..=100).map(|n| Event::new().id(n).data("…"))))
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn count() {}
//!
//! let app: Router = Router::new().route("/count", get(count)).layer(SseLayer::new());
//! ```
//!
//! If many clients receive the same events, or your events have no ids, publish to a [hub]. The hub
//! assigns ids and keeps recent events:
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "hub"))]
//! # mod with_hub {
//! use axum::{extract::State, response::IntoResponse};
//! use tower_sse::{LastEventId, hub::{Hub, PublishError}};
//!
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     // Reconnecting clients get what they missed, even if they left before their first event.
//!     hub.subscribe(["all", "client:42"]).resume(last).response()
//! }
//!
//! async fn notify(hub: Hub) -> Result<(), PublishError> {
//!     hub.publish("client:42", "your parcel has arrived").await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! | module or crate | for |
//! |---|---|
//! | [`hub`] | one event for many clients, with resumption |
//! | [`tower-sse-redis`](https://docs.rs/tower-sse-redis), [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres) | one hub for many processes |
//! | [`tower-sse-sqlite`](https://docs.rs/tower-sse-sqlite) | a hub whose events survive a restart |
//! | [`page`] | an `EventSource` for your pages that comes back |
//! | [`streams`] | closing a user's streams, for example at logout |
//! | [`runs`] | answers that outlive their connection, such as a language model's |
//! | [`early_head`] | handlers that take longer to answer than a proxy waits |
//! | [`filter`] | reading, changing or dropping another server's events |
//! | [`testing`] | testing your handlers |
//! | [`guide`] | whole programs, proxies, operation and troubleshooting |
//!
//! # Options
//!
//! You set options on [`SseLayer`](SseLayer#options). [`StreamOptions`] overrides some of them for
//! one request or response. Put only one `SseLayer` around a route: [with
//! two](guide::placement#two-layers), most of the outer layer's options have no effect.
//!
//! # What the layer changes
//!
//! The layer treats a response as an event stream if its type is `text/event-stream` and its status
//! isn't 1xx, 204 or 304. It removes the type's parameters except `charset=utf-8`, and changes
//! these headers:
//!
//! | Header | Value |
//! |---|---|
//! | `cache-control` | `no-cache, no-transform`; if you set a value, `no-transform` is added to it |
//! | `x-accel-buffering` | `no`, unless you set it |
//! | `incremental` | `?1` ([RFC 10036](https://www.rfc-editor.org/rfc/rfc10036)), unless you set it or [turn it off](SseLayer::incremental) |
//! | `content-length`, `etag`, `accept-ranges`, digest headers | removed |
//! | `connection`, `keep-alive`, `proxy-connection`, `transfer-encoding` | removed |
//!
//! A `HEAD` request with the headers of a `GET` gets the status and headers that the `GET` would
//! get, such as the `204` of an [ended topic](hub::Hub::end). It opens no stream, so it isn't
//! refused at a limit or during a shutdown.
//!
//! The layer never changes your events. It writes heartbeats only at the start of a line, and its
//! own events only between yours. It can't write into a compressed body, so put the [compressor
//! outside of the layer](guide::upstreams#compression).
//!
//! # Events and their bytes
//!
//! To send the same event on many streams, encode it once, as [`Encoded`](event::Encoded). To read
//! a stream, use [`MessageStream`](decode::MessageStream) or [`Decoder`](decode::Decoder).
//!
//! Untrusted text can't forge a field. Each line of your data is sent in its own `data` field, and
//! [`EventName`] and [`EventId`] are validated when you create them.
//!
//! # Clients that disconnect
//!
//! When a client disconnects, the server drops the response, and your stream with it. That isn't an
//! error, so the layer logs nothing above DEBUG. Have POST handlers read their whole request body:
//! otherwise, hyper may notice the disconnect only [two
//! heartbeats](guide::clients#clients-that-disconnect) later.
//!
//! The server polls your stream, so a disconnect cancels whatever the stream is awaiting. Spawn a
//! task for work that must outlive the client. To stop a task when the client disconnects, turn on
//! [`track_disconnects`](SseLayer::track_disconnects) and use [`Disconnect`].
//!
//! # Graceful shutdown
//!
//! The graceful shutdown of axum, hyper and tonic waits for your streams to end. Give the layer the
//! token that shuts down your server:
//!
//! ```
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::SseLayer;
//!
//! let shutdown = CancellationToken::new();
//! # let layer: SseLayer =
//! SseLayer::new().shutdown(shutdown.clone());
//! ```
//!
//! By default, streams of `GET` requests end at once, between events where possible. Each
//! `EventSource` reconnects after a random time. A stream that answers a `POST` may take up to 30
//! more seconds. After that, its body fails. [`Drain`] sets these times. New streams are
//! [refused](Refusal), and each `EventSource` tries again.
//!
//! The layer can't end the stream of a client that doesn't read, so [set a
//! deadline](guide::shutdown#the-deadline) too.
//!
//! # In production
//!
//! Start from [this server](guide::serving). It sets a shutdown deadline and `TCP_NODELAY`, without
//! which events can arrive late. Any status except `200` and redirects stops an `EventSource` for
//! good. Before you deploy, go through the [checklist](guide::operating). When something goes
//! wrong, see [troubleshooting](guide::troubleshooting).
//!
//! # Examples
//!
//! - a first hub: [`quickstart`]
//! - notifications, with logout: [`notifications`](guide::notifications)
//! - rooms: [`chat`]
//! - the progress of a job: [`job`]
//! - state from a database, then live events: [`notes`]
//! - prices, where only the newest one matters: [`ticker`]
//! - metrics for Prometheus: [`metrics`]
//! - LLM tokens with `[DONE]`: [`llm_tokens`]
//! - a slow model behind an impatient proxy: [`early_head`][early_head_example]
//! - answers that survive silence, reloads and deployments: [`assistant`](guide::assistant)
//! - answers that survive network failures:
//!   [`runs`](https://docs.rs/crate/tower-sse/latest/source/examples/runs/main.rs)
//! - an MCP server: [`mcp`](guide::mcp)
//! - GraphQL subscriptions: [`graphql`](guide::graphql)
//! - an AG-UI agent and an A2A server: [`agents`]
//! - protocols with their own event names: [`jmap_push`], [`beacon_events`] of an Ethereum node
//! - axum's `Sse`: [`existing_axum`]
//! - hyper without a framework: [`hyper_raw`]
//! - an upstream that streams: [`proxy`]
//! - an upstream's events, redacted and billed: [`gateway`]
//! - shutdown with a deadline: [`graceful_axum`], [`graceful_hyper`]
//! - tens of thousands of clients: [`many_clients`]
//!
//! In the repository, `chat_cluster`, `notifications_cluster` and `runs_cluster` use Redis, and
//! [`notifications_postgres`] publishes in transactions. `tonic_web` and `graceful_tonic` are for
//! tonic, and `dashboard` has live charts.
//!
//! # Features
//!
//! No feature is on by default. `full` enables all but `testing`.
//!
//! - `axum`: handlers can extract [`LastEventId`], [`Disconnect`] and
//!   [`Subjects`](streams::Subjects), and return [`StreamOptions`] with a response. Closures such
//!   as [`on_error`](SseLayer::on_error) receive your own error, not the `axum::Error` around it.
//! - `axum-sse`: `Event::from` converts the events of axum's `Sse`.
//! - `early-head`, `filter`, `hub`, `page`, `runs`, `testing`: the modules [`early_head`],
//!   [`filter`], [`hub`], [`page`], [`runs`] and [`testing`].
//! - `json`: [`Json`], [`Event::json`], [`Event::json_data`].
//! - `signal`: [`stop_on_signal`], for a clean end at Ctrl-C and SIGTERM.
//! - `tracing`: [log lines](guide::observing#logs-and-traces). Closed streams and ended runs are
//!   logged at DEBUG, your program's mistakes at WARN. ERROR means a hub has closed, because its
//!   [broker](hub::broker)'s task ended.
//!
//! # Compatibility
//!
//! - **Rust.** 1.88 or later, also for [`sse-check`](https://docs.rs/crate/sse-check) and the
//!   `tower-sse-…` crates, which always have this crate's version number. With rusqlite 0.41 or
//!   later, `tower-sse-sqlite` needs 1.89.
//! - **axum.** The feature `axum` is for axum 0.8. To use axum 0.7, leave the feature off and
//!   extract the last event id as `Option<Extension<LastEventId>>`.
//! - **hyper and tonic.** Any version that uses `http` 1 works. gRPC responses pass through
//!   unchanged.
//! - **Systems.** Linux is tested most. On macOS and Windows, CI uses no browsers, proxies or
//!   database servers, and skips `tower-sse-postgres` and `sse-check`.
//! - **Browsers.** The tests drive Chromium. Some tests also drive Firefox and WebKitGTK, which
//!   [differ slightly](guide::clients#exceptions). Safari and phones are untested.
//! - **Deployments.** Two versions of your program can share a Redis server during a deployment,
//!   [under some
//!   conditions](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/#rolling-deployments).
//!
//! # Stability
//!
//! Before 1.0, a breaking change or a newer minimum Rust version raises the minor version. A
//! breaking change in futures-core, tokio-util, tower-layer, tower-service or axum-core can force a
//! breaking change in this crate: its public API contains their types.
//!
//! What this documentation says about a stream's bytes and their order is part of the API. Frame
//! boundaries, log lines and the texts of errors can change in any version.
//!
//! [`notifications_postgres`]: https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/notifications/
//! [`quickstart`]: https://docs.rs/crate/tower-sse/latest/source/examples/quickstart.rs
//! [`notes`]: https://docs.rs/crate/tower-sse/latest/source/examples/notes.rs
//! [`agents`]: https://docs.rs/crate/tower-sse/latest/source/docs/agents.md
//! [`chat`]: https://docs.rs/crate/tower-sse/latest/source/examples/chat/main.rs
//! [`job`]: https://docs.rs/crate/tower-sse/latest/source/examples/job/main.rs
//! [`ticker`]: https://docs.rs/crate/tower-sse/latest/source/examples/ticker/main.rs
//! [`metrics`]: https://docs.rs/crate/tower-sse-redis/latest/source/examples/metrics/main.rs
//! [early_head_example]: https://docs.rs/crate/tower-sse/latest/source/examples/early_head.rs
//! [`llm_tokens`]: https://docs.rs/crate/tower-sse/latest/source/examples/llm_tokens.rs
//! [`jmap_push`]: https://docs.rs/crate/tower-sse/latest/source/examples/jmap_push.rs
//! [`beacon_events`]: https://docs.rs/crate/tower-sse/latest/source/examples/beacon_events.rs
//! [`existing_axum`]: https://docs.rs/crate/tower-sse/latest/source/examples/existing_axum.rs
//! [`hyper_raw`]: https://docs.rs/crate/tower-sse/latest/source/examples/hyper_raw.rs
//! [`gateway`]: https://docs.rs/crate/tower-sse/latest/source/examples/gateway.rs
//! [`proxy`]: https://docs.rs/crate/tower-sse/latest/source/examples/proxy.rs
//! [`many_clients`]: https://docs.rs/crate/tower-sse/latest/source/examples/many_clients.rs
//! [`graceful_axum`]: https://docs.rs/crate/tower-sse/latest/source/examples/graceful_axum.rs
//! [`graceful_hyper`]: https://docs.rs/crate/tower-sse/latest/source/examples/graceful_hyper.rs

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]
// Links to the items of a disabled feature are broken.
#![cfg_attr(
    not(all(feature = "full", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links)
)]
// The compiler would report items that only a disabled feature uses.
#![cfg_attr(
    not(all(feature = "full", feature = "testing")),
    allow(dead_code, unreachable_pub, unused_imports)
)]

#[macro_use]
mod log;
#[macro_use]
mod callback;
#[macro_use]
mod error;

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "axum-sse")]
mod axum_sse;
mod body;
mod connection;
mod coop;
pub mod decode;
#[cfg(feature = "early-head")]
pub mod early_head;
pub mod event;
mod exchange;
#[cfg(feature = "filter")]
pub mod filter;
pub mod guide;
mod headers;
#[cfg(any(feature = "hub", feature = "runs"))]
mod history;
#[cfg(feature = "hub")]
pub mod hub;
mod idle_timer;
pub mod layer;
mod lock;
mod options;
#[cfg(feature = "page")]
pub mod page;
#[cfg(feature = "runs")]
pub mod runs;
mod shutdown;
mod signals;
#[cfg(tower_sse_simulation)]
#[doc(hidden)]
pub mod simulation;
mod sparse;
pub mod stats;
#[cfg(all(feature = "signal", any(unix, windows)))]
mod stop_on_signal;
pub mod streams;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod wake;

pub use crate::{
    connection::{ClientKind, CloseReason, CloseReport, Disconnect, LastEventId},
    error::BoxError,
    event::event::{Event, EventId, EventName},
    layer::{into_sse::response, refusal::Refusal, sse_layer::SseLayer},
    options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions},
};

#[cfg(feature = "json")]
pub use crate::event::json::Json;
#[cfg(feature = "hub")]
pub use crate::hub::retention::Retention;
#[cfg(all(feature = "signal", any(unix, windows)))]
pub use crate::stop_on_signal::stop_on_signal;

/// Tests the README's code.
#[cfg(all(doctest, feature = "axum", feature = "hub", feature = "signal", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
