//! Placing the layer: which other layers belong outside of it, and which do not suit event streams.
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_http::{cors::CorsLayer, trace::TraceLayer};
//! use tower_sse::{Event, SseLayer};
//!
//! async fn events() -> impl IntoResponse {
//!     tower_sse::response(stream::iter(["one", "two"].map(Event::from)))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/events", get(events))
//!     .layer(SseLayer::new()) // covers the routes above
//!     .layer(CorsLayer::new()) // outside of it
//!     .layer(TraceLayer::new_for_http()); // outermost
//! ```
//!
//! # Rules
//!
//! - Put [`SseLayer`] directly around the routes, with few layers between it and the handlers. It
//!   affects every event stream of the services inside it.
//! - axum's `.layer` covers the routes that were added before it, not those that are added later.
//! - To treat one route differently, [merge `StreamOptions`](crate::StreamOptions::merge_into) into
//!   its responses. Do not add a second layer.
//! - If two layers see the same response, the inner one owns the stream: its options, limit,
//!   counters and reports apply. The outer one does not change the stream. It can still refuse it
//!   by its shutdown or `require_accept`, close it by its subjects, signal its [`Disconnect`](crate::Disconnect), and lend its
//!   [shutdown](SseLayer::shutdown) if the inner layer has none.
//! - To wrap a whole `Router`, call `layer.layer(router)`. `axum::serve` requires responses with
//!   axum's own body, so put the result into a router again:
//!   `Router::new().fallback_service(layer.layer(router))`.
//!
//! # Layers that belong outside
//!
//! - **`TraceLayer`** (tower-http): the log lines of this crate are then in the request's span. A
//!   disconnect does not call `on_failure`, but these normal events do:
//!   - a refusal with `503`, which the classifier for HTTP counts as a failure
//!   - with a classifier that checks bodies, such as the one for gRPC: a body that the layer fails
//!     at the shutdown or the maximum age, for `fetch` clients and calls
//! - **`CorsLayer`, `PropagateRequestIdLayer`** (tower-http): refusals then have their headers too. Allow
//!   the request header [`LAST_EVENT_ID`](crate::LAST_EVENT_ID): a reconnecting browser sends a preflight if the id is
//!   longer than 128 bytes or contains a character such as `<`, `{` or `:`.
//! - **Authentication**: a rejected request then opens no stream. `401` and `403` stop an
//!   `EventSource` for good. It sets the stream's [maximum
//!   age](super::clients#credentials-that-expire) in the request.
//! - **`CompressionLayer`** (tower-http): by default, it does not compress event streams. The page
//!   [compression](super::compression) shows how to turn it on for them.
//! - **`ResponseBodyTimeoutLayer`** (tower-http) fails a body that is idle for the timeout. Set a
//!   timeout longer than the heartbeat's interval. Inside of [`SseLayer`], it would not see the
//!   heartbeats.
//!
//! # Layers to replace
//!
//! - **`ResponseBodyDeadlineLayer`** (tower-http), or a `DeadlineBody` around the response's body,
//!   fails every stream at its deadline, even mid-event. The time runs from the response head, and
//!   events and heartbeats do not extend it. Use [`max_age`](SseLayer::max_age).
//! - **`OnEarlyDropLayer`** (tower-http) fires for every client that disconnects, which is how
//!   streams normally end. Use [`on_close`](SseLayer::on_close).
//! - **`ConcurrencyLimitLayer`** (tower) frees its permit at the response head, so it does not
//!   limit streams. Use [`max_streams`](SseLayer::max_streams).
//!
//! # Layers that work as usual
//!
//! - **`TimeoutLayer`** (tower-http) limits the time to the response head, not the stream.
//! - **`InFlightRequestsLayer`** (tower-http) counts open streams together with all other requests.
//! - **`RateLimitLayer`, `LoadShedLayer`, `BufferLayer`** (tower) limit requests, including
//!   reconnections. A rejection with a status other than 200 stops an `EventSource` for good.
//! - **`GrpcWebLayer`** (tonic-web) belongs around the gRPC routes only. Over HTTP/1 it answers
//!   every other request with `400`, including those for event streams. The example `tonic_web`
//!   merges the routes.
//! - **`CatchPanicLayer`, `NormalizePathLayer`** (tower-http) treat event streams like any
//!   response. A panic in the stream comes after the response head, so it ends the connection.

// Names for the links above.
#[allow(unused_imports)]
use crate::SseLayer;
