//! Testing your handlers with a client that reads streams and resumes them (feature `testing`).
//!
//! ```
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, LastEventId, SseLayer, decode::Message, testing::TestClient};
//!
//! # #[cfg(feature = "axum")]
//! async fn count(last: Option<LastEventId>) -> impl IntoResponse {
//!     let last: Option<u32> = last.and_then(|last| last.parse().ok());
//!     let first = last.map_or(1, |last| last.saturating_add(1));
//!     tower_sse::response(stream::iter(first..=5).map(|n| Event::new().id(n).data(n.to_string())))
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn count() -> impl IntoResponse {
//! #     tower_sse::response(stream::iter(1..=5).map(|n| Event::new().id(n).data(n.to_string())))
//! # }
//! # use futures_util::StreamExt;
//!
//! fn app() -> Router {
//!     Router::new().route("/count", get(count)).layer(SseLayer::new())
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! # #[tokio::main(flavor = "current_thread")]
//! async fn it_counts_to_five() {
//!     let mut events = TestClient::new(app()).get("/count").await;
//!     assert_eq!(events.next().await.data, "1");
//!     assert_eq!(events.take(2).await.len(), 2);
//!     let rest = events.collect().await;
//!     assert_eq!(rest.last().unwrap().data, "5");
//! }
//! # fn main() {
//! #     it_counts_to_five();
//! # }
//! ```
//!
//! [`TestClient`] calls any Tower service, with the headers of an `EventSource`, and returns a
//! [`TestStream`]. Enable the feature for tests only:
//!
//! ```toml
//! [dev-dependencies]
//! tower-sse = { version = "0.1", features = ["testing"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! # for `oneshot`
//! tower = { version = "0.5", features = ["util"] }
//! ```
//!
//! A test doesn't hang: a method panics if what it awaits doesn't come within [30
//! seconds](TestStream::time_limit). The panic names the caller's line and lists the newest
//! messages and comments:
//!
//! ```text
//! still waiting for message 2 of 3 after 30s, at tests/count.rs:21:39
//! received, oldest first (2 in total):
//!   message "1", id "1"
//!   comment ""
//! ```
//!
//! # Endless streams, time and heartbeats
//!
//! [`take`](TestStream::take) reads the next events of a stream that doesn't end. (With axum-test's
//! `TestServer`, awaiting a request for such a stream never returns.) To skip the waits for
//! heartbeats and timeouts, pause tokio's clock. It jumps to the next timer when all tasks are
//! waiting.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, response::IntoResponse, routing::get};
//! use futures_util::{StreamExt, stream};
//! use tower_sse::{Event, SseLayer, testing::TestClient};
//!
//! async fn news() -> impl IntoResponse {
//!     let news = stream::iter(["one", "two", "three"].map(Event::from));
//!     tower_sse::response(news.chain(stream::pending()))
//! }
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn heartbeats_fill_the_silence() {
//!     let app: Router = Router::new().route("/news", get(news)).layer(SseLayer::new());
//!     let mut events = TestClient::new(app).get("/news").await;
//!     assert_eq!(events.take(3).await.last().unwrap().data, "three");
//!
//!     events.assert_no_message(Duration::from_secs(60)).await;
//!     assert_eq!(events.next_comment().await, "");
//! }
//! # fn main() {
//! #     heartbeats_fill_the_silence();
//! # }
//! ```
//!
//! A default heartbeat is a comment without text. It can be late by up to a sixteenth of its
//! [interval](crate::Heartbeat).
//!
//! # Resumption
//!
//! [`reconnect`](TestClient::reconnect) cuts a stream off and opens a new one with the last id that
//! has been read so far. To cut off a stream without reconnecting, drop it.
//!
//! ```
//! # #[cfg(feature = "hub")]
//! # mod app {
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use http::HeaderMap;
//! use tower_sse::{LastEventId, SseLayer, hub::Hub, testing::TestClient};
//!
//! async fn events(State(hub): State<Hub>, headers: HeaderMap) -> impl IntoResponse {
//!     hub.subscribe(["news"]).resume(LastEventId::from_headers(&headers)).response()
//! }
//!
//! fn app(hub: Hub) -> Router {
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub)
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! # #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn client_that_was_away_gets_what_it_missed() {
//!     let hub = Hub::new();
//!     let mut client = TestClient::new(app(hub.clone()));
//!     let mut events = client.get("/events").await;
//!     hub.publish("news", "one").await.unwrap();
//!     assert_eq!(events.next().await.data, "one");
//!
//!     hub.publish("news", "two").await.unwrap();
//!     let mut events = client.reconnect(events).await;
//!     assert_eq!(events.next().await.data, "two");
//! }
//! # }
//! # fn main() {
//! #     #[cfg(feature = "hub")]
//! #     app::client_that_was_away_gets_what_it_missed();
//! # }
//! ```
//!
//! Also test ids that are too old or malformed: pass them to [`resume`](TestClient::resume).
//!
//! # Several processes
//!
//! [`MemoryBroker`] connects several hubs in one process, as Redis does across processes. It can
//! also delay or lose events. Each hub stands for a process, so create an app and a client for
//! each. To move a stream to another process, call [`reconnect`](TestClient::reconnect) on that
//! process's client.
//!
//! The crate `tower-sse-broker` has [tests for a broker of your own][kit].
//!
//! [kit]: https://docs.rs/tower-sse-broker/latest/tower_sse_broker/testing/
//!
//! # Other requests and answers
//!
//! [`try_get`](TestClient::try_get) also returns responses that are not event streams, such as a
//! `401` or a `204`. For any other request, such as a `POST`, call `app.oneshot(request).await?`
//! and read the response's stream with [`TestStream::new`].
//!
//! By default, a [refused](crate::Refusal) `EventSource` gets a stream without events.
//! [`TestStream::collect`] then returns no messages. Afterwards, [`TestStream::retry`] returns the
//! reconnection time.
//!
//! # What needs a real socket
//!
//! A [`TestClient`] doesn't use the network. Use a server on `127.0.0.1:0` and an HTTP client to
//! test:
//!
//! - clients that don't read, back-pressure, memory use
//! - the graceful shutdown of the server
//! - proxies and their timeouts, HTTP/2
//! - browsers
//!
//! Don't pause the clock in tests with a real socket: while a test waits for the socket, the clock
//! jumps and timeouts fire.
//!
//! A [`TestClient`] doesn't decode compressed streams. To test compression, wrap the service in a
//! layer that decodes, such as tower-http's `DecompressionLayer`.

mod client;
#[cfg(feature = "hub")]
mod memory_broker;
mod reader;
mod stream;

#[cfg(feature = "hub")]
pub use self::memory_broker::MemoryBroker;
pub use self::{client::TestClient, stream::TestStream};
