//! Coming from warp's `sse`: keep it, add the layer around `warp::service`.
//!
//! `warp::service` turns a filter into a Tower service, whose event streams the layer recognises.
//! Before (warp 0.4):
//!
//! ```rust,ignore
//! let events = warp::path("events")
//!     .and(warp::sse::last_event_id::<u64>())
//!     .map(|last| warp::sse::reply(warp::sse::keep_alive().stream(after(last))));
//!
//! warp::serve(events).run(([127, 0, 0, 1], 3000)).await;
//! ```
//!
//! After, without `keep_alive`, and served by hyper:
//!
//! ```rust,ignore
//! let events = warp::path("events")
//!     .and(warp::header::optional::<String>("last-event-id"))
//!     .map(|last: Option<String>| warp::sse::reply(after(last.and_then(|id| id.parse().ok()))));
//!
//! let service = SseLayer::new().layer(warp::service(events));
//! ```
//!
//! The example `hyper_raw` serves such a service. Alternatively, move to axum and the events of
//! this crate:
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::{Stream, stream};
//! use tower_sse::{Event, LastEventId, SseLayer};
//!
//! # fn after(last: Option<u64>) -> impl Stream<Item = Event> {
//! #     stream::iter((last.unwrap_or(0) + 1..=100).map(|n| Event::new().id(n).data("…")))
//! # }
//! # #[cfg(feature = "axum")]
//! async fn events(last: Option<LastEventId>) -> impl IntoResponse {
//!     tower_sse::response(after(last.and_then(|last| last.parse().ok())))
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn events() {}
//!
//! let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
//! ```
//!
//! What corresponds to the items of warp:
//!
//! - `sse::reply(s)`: [`response(s)`](crate::response)
//! - `Event::default()`: [`Event::new()`]
//! - `.json_data(v)?`: [`.json(v)`](crate::Event::json)
//! - `.id(text)`: [`EventId`]
//! - `.event(text)`: [`EventName`]
//! - `sse::keep_alive()`: [`heartbeat`](SseLayer::heartbeat)
//! - `last_event_id()`: [`LastEventId`]
//! - `.graceful(signal)`: the same of your server, with [`shutdown`](SseLayer::shutdown)
//!
//! # What behaves differently
//!
//! - **`last_event_id::<T>()`** answers `400` if the id does not parse as `T`, and a `400` stops an
//!   `EventSource` for good. Replace it even if you keep warp. [`LastEventId`] never rejects a
//!   request.
//! - **Line breaks**: warp writes a CR in data, and any line break in an id, a name or a comment,
//!   unchanged. Untrusted text can therefore forge fields. Here, it cannot.
//! - **Spaces**: warp writes `data:` without a space, so clients drop a leading space of the data.
//!   Here, it is kept.
//! - **`keep_alive`** sends `:` and an empty line, which [several
//!   clients](super::axum#if-keepalive-stays) take for an empty event.
//! - **Errors**: warp logs them with `log::error` and fails the body. Here,
//!   [`on_error`](SseLayer::on_error) can send a last event, and the error is in the DEBUG line of
//!   feature `tracing`.
//!
//! # What you lose
//!
//! - The filters of warp and `warp::test`, if you move to axum.
//! - `warp::serve`, if you keep warp: the program accepts connections itself.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Event, EventId, EventName, LastEventId, SseLayer};
