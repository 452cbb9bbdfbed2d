//! The Tower layer for server-sent events: one line makes any event stream correct and operable.
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, SseLayer};
//!
//! async fn events() -> impl IntoResponse {
//!     tower_sse::response(stream::iter(["one", "two"].map(Event::from)))
//! }
//!
//! let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
//! ```
//!
//! Whoever made the stream: a service that answers with a `Stream` of [`Event`]s, axum's own `Sse`, a
//! proxied upstream, an MCP server. Every `text/event-stream` that passes gets the right headers and
//! heartbeats; every request the [`LastEventId`] that its client came with. Responses that are no
//! event streams pass untouched, for some tens of nanoseconds and no allocation.
//!
//! It works with axum, tonic (with tonic-web) and plain hyper, over HTTP/1 and HTTP/2, between all
//! other Tower layers.
//!
//! # A stream that resumes
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, Heartbeat, LastEventId, Retry, SseLayer};
//!
//! # #[cfg(feature = "axum")]
//! async fn count(last: Option<LastEventId>) -> impl IntoResponse {
//!     // What a client sends may be anything: an id that is no number is a first visit.
//!     let last = last.and_then(|last| last.parse().ok());
//!     let next = last.map_or(1, |last: u64| last.saturating_add(1));
//!     tower_sse::response(stream::iter((next..=100).map(|n| Event::new().id(n).data("…"))))
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn count() {}
//!
//! let app: Router = Router::new().route("/count", get(count)).layer(
//!     SseLayer::new()
//!         .heartbeat(Heartbeat::every(Duration::from_secs(20)).comment("still here"))
//!         .retry(Retry::between(Duration::from_secs(1), Duration::from_secs(5)))
//!         .last_event_id_query("lastEventId"),
//! );
//! ```
//!
//! `Option<LastEventId>` is an extractor with feature `axum`; everywhere else it is in the request's
//! extensions.
//!
//! # What the layer does
//!
//! | | by default | set by |
//! |---|---|---|
//! | headers | `content-type: text/event-stream`, bare; `cache-control: no-cache, no-transform` (`no-transform` is added to what is there); `x-accel-buffering: no` unless set. Gone are `content-length`, `etag`, `accept-ranges`, digests, and `connection`, `keep-alive`, `transfer-encoding` | |
//! | heartbeat | the comment line `:` after 15 seconds of silence | [`heartbeat`](SseLayer::heartbeat) |
//! | reconnection time | none | [`retry`](SseLayer::retry) |
//! | padding | none | [`padding`](SseLayer::padding) |
//! | last event id | from the header | [`last_event_id_query`](SseLayer::last_event_id_query) |
//! | error of the source | the body fails, so that clients reconnect, once what came before is on its way | [`on_error`](SseLayer::on_error), [`cancellation_if`](SseLayer::cancellation_if) |
//! | end of the source | nothing is added | [`terminator`](SseLayer::terminator) |
//! | greatest age | none | [`max_age`](SseLayer::max_age) |
//! | shutdown | none | [`shutdown`](SseLayer::shutdown), [`drain`](SseLayer::drain), [`farewell`](SseLayer::farewell) |
//! | limit | none | [`max_streams`](SseLayer::max_streams), [`refusal`](SseLayer::refusal) |
//! | reports | counted, and a DEBUG line for every close | [`on_open`](SseLayer::on_open), [`on_close`](SseLayer::on_close), [`stats`](SseLayer::stats) |
//! | telling tasks that a client left | for services that answer with a bare stream | [`track_disconnects`](SseLayer::track_disconnects) |
//! | `Accept` | not looked at | [`require_accept`](SseLayer::require_accept) |
//! | content coding | never touched; into a stream that has one nothing is written | a [compressor outside](operating#compression) |
//!
//! An event stream is a response whose media type is `text/event-stream`, whatever its parameters,
//! with any status but 1xx, 204 and 304. To a `HEAD` request it answers with the headers of a `GET`.
//!
//! A response overrides the layer's options for its own stream, one by one, by [`StreamOptions`] in
//! its extensions. With two layers on one response the inner one owns the stream, and the outer one
//! lets it pass.
//!
//! What is written into a stream never changes what a client decodes of it, whatever the source's
//! bytes are and wherever they are cut: heartbeats where a line starts, events between events, and
//! nothing where there is no place.
//!
//! # Events and their bytes
//!
//! [`Event`] is what streams are made of, and there is [`Json`] for values that are serialised when they
//! are sent and [`Encoded`] to encode once and send to many. Text that comes in at run time cannot
//! forge a field: see [`EventName`] and [`EventId`]. [`Decoder`] reads the format, for clients,
//! proxies and tests.
//!
//! # Clients that leave, and cancel safety
//!
//! When a client leaves, the server drops the response future or the body, and the source stream with
//! it: nothing fails, and nothing is logged above DEBUG. A stream is only polled, never run on a task of its
//! own: a future within it is cancelled at its `await`. Work that must outlive the client
//! belongs on a task; one that must not is told by [`Disconnect`].
//!
//! # Graceful shutdown
//!
//! The graceful shutdown of axum, hyper and tonic waits until every body has ended, and a stream of events
//! has no end. Give the layer the token that tells the server to shut down:
//!
//! ```
//! use std::time::Duration;
//!
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::{Drain, Event, SseLayer};
//!
//! let shutdown = CancellationToken::new();
//! # let layer: SseLayer =
//! SseLayer::new()
//!     .shutdown(shutdown.clone())
//!     .drain(Drain::spread_over(Duration::from_secs(20)))
//!     .farewell(Event::new().event("restart").data("back in a moment"));
//! ```
//!
//! Streams then end between events, each in the way after which its client comes back, and new ones are
//! [refused](Refusal) so that they come back later. A client that does not read cannot be ended by
//! anything in a body: the [recipes](operating#graceful-shutdown) have a deadline for it.
//!
//! # One event for many clients
//!
//! With feature `hub` the program publishes events to topics, and a stream is a subscription to some of them, which resumes
//! by itself: the page is [hub]. With feature `redis`, the hubs of several processes share their events: see [`redis`].
//!
//! ```
//! # #[cfg(feature = "hub")]
//! # use tower_sse::{LastEventId, hub::{Hub, PublishError}};
//! # #[cfg(feature = "hub")]
//! # async fn events(hub: Hub, last: Option<LastEventId>) -> Result<(), PublishError> {
//! let response = tower_sse::response(hub.subscribe(["all", "client:42"]).resume(last));
//! // Elsewhere:
//! let receipt = hub.publish("client:42", "to one").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # In production
//!
//! The page [operating] has what a layer cannot do by itself: where it goes among other layers, proxies and
//! their timeouts, options of sockets, limits and memory, shutdown recipes, credentials that expire, and what
//! to watch. Two things for a start:
//!
//! - Set `TCP_NODELAY`; with axum, `listener.tap_io(|io| { let _ = io.set_nodelay(true); })`.
//! - An `EventSource` gives up for good when it is answered with any status but 200. Let `204` stop a
//!   client, and nothing else by accident.
//!
//! # Features
//!
//! None is on by default; `full` is all of them but `redis-tls` and `testing`.
//!
//! | | |
//! |---|---|
//! | `axum` | [`LastEventId`] and [`Disconnect`] as extractors, [`StreamOptions`] as a part of a response; depends on axum-core only |
//! | `hub` | [hub]: topics in the process, publish once, to many, resumable |
//! | `json` | [`Json`] and [`Event::json_data`] |
//! | `redis`, `redis-tls` | [`redis`]: hubs of several processes over Redis Streams, and `rediss://` |
//! | `runs` | [runs]: answers that outlive their client's connection, recorded once and resumable |
//! | `testing` | [`testing`]: a broker in memory, for tests of programs whose hubs share one |
//! | `tracing` | a DEBUG line for every close, in the request's span, and few others, of which one has the text of the source's error; a WARN line when there is no runtime for timers, or a callback panics |
//!
//! # Stability
//!
//! What is written, and when, is a promise where this documentation says so. Where frames are cut, and
//! the text of log lines and errors, are not.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]
// Links to what a feature brings lead nowhere without it.
#![cfg_attr(
    not(all(feature = "full", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[macro_use]
mod log;

#[cfg(feature = "axum")]
mod axum;
mod body;
mod callback;
mod connection;
mod error;
mod event;
#[cfg(any(feature = "hub", feature = "runs"))]
mod history;
#[cfg(feature = "hub")]
pub mod hub;
mod layer;
pub mod operating;
mod options;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "runs")]
pub mod runs;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
pub mod troubleshooting;

pub use crate::{
    body::{EventBody, SseBody},
    connection::{CloseReason, CloseReport, Disconnect, LAST_EVENT_ID, LastEventId},
    error::BoxError,
    event::{
        Decoder, Encode, Encoded, Event, EventId, EventName, EventTooLarge, IntoEventId,
        IntoEventName, IntoText, InvalidField, Message,
    },
    layer::{IntoSse, Refusal, ResponseFuture, SseLayer, SseService, marker, response},
    options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions},
    stats::{Stats, StatsSnapshot},
};

#[cfg(feature = "axum")]
pub use crate::axum::MissingDisconnect;
#[cfg(feature = "json")]
pub use crate::event::Json;

/// The README's code compiles too.
#[cfg(all(doctest, feature = "axum", feature = "hub"))]
#[doc = include_str!("../README.md")]
struct Readme;
