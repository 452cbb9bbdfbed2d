//! Coming from ASP.NET Core's `TypedResults.ServerSentEvents`: return a stream of
//! [`Json`](crate::Json) events.
//!
//! Before (ASP.NET Core 10):
//!
//! ```csharp
//! app.MapGet("/prices", (CancellationToken aborted) =>
//!     TypedResults.ServerSentEvents(Prices(aborted), eventType: "price"));
//!
//! async IAsyncEnumerable<Price> Prices([EnumeratorCancellation] CancellationToken aborted)
//! {
//!     while (true)
//!     {
//!         yield return await NextPrice(aborted);
//!     }
//! }
//! ```
//!
//! After:
//!
//! ```
//! # #[cfg(not(feature = "json"))]
//! # fn main() {}
//! # #[cfg(feature = "json")]
//! # fn main() {
//! use async_stream::stream;
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::Stream;
//! use serde::Serialize;
//! use tower_sse::{Event, Json, SseLayer};
//!
//! #[derive(Serialize)]
//! struct Price { cents: u32 }
//! # async fn next_price() -> Price { Price { cents: 1 } }
//!
//! fn prices() -> impl Stream<Item = Json<Price>> {
//!     stream! {
//!         loop {
//!             yield Event::new().event("price").json(next_price().await);
//!         }
//!     }
//! }
//!
//! async fn events() -> impl IntoResponse {
//!     tower_sse::response(prices())
//! }
//!
//! let app: Router = Router::new().route("/prices", get(events)).layer(SseLayer::new());
//! # }
//! ```
//!
//! What corresponds to the names of ASP.NET Core:
//!
//! - `IAsyncEnumerable`: [`Stream`](futures_core::Stream)
//! - an item of type `string`: [`Event::from(t)`](Event)
//! - an item of type `T`: [`Json::new(v)`](crate::Json::new)
//! - `EventType`: [`.event(name)`](Event::event)
//! - `EventId`: [`.id(id)`](Event::id)
//! - `ReconnectionInterval`: [`.retry(time)`](Event::retry)
//! - `Last-Event-ID`: [`LastEventId`](crate::LastEventId)
//! - `RequestAborted`: [`Disconnect`](crate::Disconnect)
//! - `SseParser`: [`Decoder`](crate::Decoder)
//! - `ShutdownTimeout`: [a deadline](crate::operating::shutdown#the-deadline)
//!
//! # What behaves differently
//!
//! - **Heartbeats**: ASP.NET Core has none, and no way to write a comment. Here, they are on.
//! - **Headers**: ASP.NET Core does not send `x-accel-buffering`, so nginx buffers its streams by
//!   default. The layer sends it, sets `cache-control` to `no-cache, no-transform`, and sends
//!   neither `pragma` nor `content-encoding: identity`.
//! - **Flushing**: ASP.NET Core flushes after every event. Here, events that are ready together are
//!   sent as one frame.
//! - **Disconnects**: in ASP.NET Core, an `OperationCanceledException` is thrown in the enumerable.
//!   Here, the stream is dropped at its `await`. Spawned tasks continue, unless they wait for a
//!   [`Disconnect`](crate::Disconnect).
//! - **Shutdown**: an ASP.NET Core host waits for open streams until its timeout. Here,
//!   [`shutdown`](SseLayer::shutdown) ends them so that their clients reconnect.
//! - **Invalid names and ids**: ASP.NET Core throws an `ArgumentException`. Here, `try_from` of
//!   [`EventName`](crate::EventName) and [`EventId`](crate::EventId) returns an error.
//!
//! # What you lose
//!
//! - The OpenAPI metadata that the result type adds to its endpoint.
//! - Automatic JSON: the program chooses [`Event`] for text or `Json` for values.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Event, SseLayer};
