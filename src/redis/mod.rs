//! Hubs of several processes over Redis Streams, for Redis 7 or Valkey (feature `redis`).
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub, redis::Redis};
//!
//! # #[cfg(feature = "axum")]
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     tower_sse::response(hub.subscribe_to("news").recent(10).resume(last))
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn events() {}
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // The one line that differs from a hub in the process, `Hub::new()`.
//! let hub = Hub::connect(Redis::open("redis://127.0.0.1/")?).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("news", "hello").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! Before the second process, read [operating]: errors, sizes, losses, availability, and shutdown.
//!
//! Every process reads the same stream in the same order, and gives its events the same ids. A
//! client can therefore reconnect to any process with the id that it received from another.
//!
//! [`Hub::connect`](crate::hub::Hub::connect) spawns a task that follows the stream until the hub
//! is closed or dropped. If the connection breaks, it reconnects, and reads on where it was.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order, each once.
//! - An event that [`publish`](crate::hub::Hub::publish) acknowledged reaches every client that
//!   resumes, or the client receives a [gap](crate::hub::GapPolicy). That holds when Redis restarts
//!   with all its data, without, or with an older state; when a replica that lags is promoted; and
//!   when the key is deleted or trimmed.
//! - An event that `publish` reported as
//!   [refused](crate::hub::PublishError::Refused) is not published. One that it reported as
//!   [unknown](crate::hub::PublishError::Unknown) is published once or not at all.
//!
//! One loss cannot be detected: if Redis and all processes that knew of an event stop at the same
//! time, and Redis returns without it. The page [operating](operating#losses) has the cure.
//!
//! # Entries
//!
//! Any program can publish: an event is one entry of the stream, with these fields.
//!
//! | field | |
//! |---|---|
//! | `topic` | required |
//! | `data` | required, can be empty |
//! | `event` | the event's name, without line breaks |
//! | `retry` | a reconnection time, in milliseconds |
//! | `comment` | |
//!
//! The text is UTF-8. The id must be the one that Redis assigns (`*`), and the stream must not be
//! created by the entry (`NOMKSTREAM`), because its absence is how processes detect that it was
//! lost. With redis-py:
//!
//! ```python
//! import redis
//!
//! server = redis.from_url("redis://127.0.0.1/")
//! event = {"topic": "news", "data": "hello"}
//! server.xadd("tower-sse", event, nomkstream=True, maxlen=100_000, approximate=True)
//! ```
//!
//! Such a program receives `None` if the stream is missing, until a process with a hub has created
//! it again. Other entries are skipped and
//! [counted](RedisHealth::foreign_entries).
//!
//! # TLS
//!
//! For `rediss://`, enable feature `redis-tls`. It uses rustls with the certificates of the operating
//! system. rustls needs a crypto provider, which the program installs before it connects:
//! add `rustls` to the dependencies and call
//! `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or that of `ring`.

mod builder;
mod clock;
mod connector;
mod entry;
mod error;
mod follower;
mod gate;
mod health;
mod mutant;
pub mod operating;
mod publisher;
mod reader;
mod stream;
mod stream_id;

pub use self::{builder::Redis, error::Error, health::RedisHealth};
