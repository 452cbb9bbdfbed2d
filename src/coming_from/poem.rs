//! Coming from poem's `SSE`: mount a Tower service in the poem `Route`.
//!
//! The layer cannot wrap poem's endpoints, because they return poem's own response type. The
//! opposite works: poem's feature `tower-compat` mounts a Tower service as an endpoint. Before
//! (poem 3.1):
//!
//! ```rust,ignore
//! #[handler]
//! fn events() -> SSE {
//!     let events = stream::iter(["one", "two"].map(Event::message));
//!     SSE::new(events).keep_alive(Duration::from_secs(15))
//! }
//!
//! let app = Route::new().at("/events", get(events));
//! ```
//!
//! After, with a Tower service inside of poem. poem requires that the body's error implements
//! `Error`, so `map_response` converts it into an `io::Error`.
//!
//! ```
//! use std::{convert::Infallible, io};
//!
//! use futures_util::{Stream, stream};
//! use http::{Request, Response};
//! use http_body_util::BodyExt;
//! use tower::ServiceBuilder;
//! use tower_sse::{Event, EventBody, SseBody, SseLayer};
//!
//! type Events<S> = Response<EventBody<S>>;
//!
//! async fn events<B>(_: Request<B>) -> Result<Events<impl Stream<Item = Event>>, Infallible> {
//!     Ok(tower_sse::response(stream::iter(["one", "two"].map(Event::from))))
//! }
//!
//! let service = ServiceBuilder::new()
//!     .map_response(|response: Response<SseBody<_>>| {
//!         response.map(|body| body.map_err(io::Error::other))
//!     })
//!     .layer(SseLayer::new())
//!     .service_fn(events);
//! # fn assert_service<S: tower::Service<Request<()>>>(_: S) {}
//! # assert_service(service);
//! ```
//!
//! ```rust,ignore
//! let app = Route::new().at("/events", service.compat());
//! ```
//!
//! | poem | here |
//! |---|---|
//! | `SSE::new(s)` | [`response(s)`](crate::response) |
//! | `Event::message(t)` | [`Event::from(t)`](Event) |
//! | `.id(text)` | [`EventId`] |
//! | `.event_type(text)` | [`EventName`] |
//! | `Event::retry(ms)` | [`SseLayer::retry`] |
//! | `.keep_alive(time)` | [`heartbeat`](SseLayer::heartbeat) |
//!
//! Keep `run_with_graceful_shutdown`. Pass it `token.cancelled_owned()` as the signal, and pass the
//! token to [`SseLayer::shutdown`]. Open streams then no longer delay poem's shutdown.
//!
//! # What behaves differently
//!
//! - **Empty data and ids**: poem writes no line for them, so clients do not dispatch an event with
//!   empty data. Here, they do, and an empty id clears the client's last event id.
//! - **Line breaks**: poem writes a lone CR in data, and any line break in an id or a name,
//!   unchanged, so untrusted text can forge fields. It drops a trailing line break of data. Here,
//!   untrusted text cannot forge fields, and a trailing line break is kept.
//! - **Keep-alive**: poem sends `:` and an empty line at a fixed rate, even if an event was just
//!   sent. Here, `:` without an empty line is sent after 15 seconds without a byte.
//! - **Errors**: poem's streams cannot fail. Here, items may be a `Result`, and an error
//!   [fails the body](crate::operating::errors).
//! - **`Last-Event-ID`**: the handler reads it from the request's extensions, as
//!   [`LastEventId`](crate::LastEventId).
//!
//! # What you lose
//!
//! - Extractors and `#[handler]` on these routes: the service takes an [`http::Request`].
//! - `EventStream` of poem-openapi, which describes the events in the API's schema.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Event, EventId, EventName, SseLayer};
