//! Your program runs in several processes, and a client that reconnects may reach a different one.
//! With this crate, the processes share [hubs](tower_sse::hub) and [runs](tower_sse::runs) over
//! Redis.
//!
//! ```sh
//! cargo add tower-sse --features axum,hub
//! cargo add tower-sse-redis
//! ```
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub};
//! use tower_sse_redis::Redis;
//!
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("news").recent(10).resume(last).response()
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // With one process, this line is `Hub::new()`.
//! let hub = Hub::connect(Redis::open("redis://127.0.0.1/")?.broker("app:events")).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("news", "hello").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! The Redis stream `app:events` has the events of all topics. All processes read it and give each
//! event the same id, so a client can reconnect to any of them, even one that is behind, and misses
//! nothing. You don't need sticky sessions. When a user logs out, you can [close the user's event
//! streams in all processes](tower_sse::streams#many-processes).
//!
//! For a whole program, take the guide's [notifications](tower_sse::guide::notifications) and
//! [change its hub](tower_sse::guide::notifications#restarts-and-several-processes): it needs only
//! steps 1 and 5 below. In the repository,
//! `crates/tower-sse-redis/examples/cluster/run.sh notifications_cluster` starts this program in two
//! processes behind nginx.
//!
//! # Set-up
//!
//! The details are on two pages: [the program](operating) and [the Redis server](running).
//!
//! 1. Set up Redis 7 or later, or Valkey, by the [checklist](running#checklist). We've tested with
//!    Redis 7.0 and Valkey 9.1.
//! 2. Work out your [limits](operating#sizes), unless clients load what they missed from a
//!    database: then the defaults are enough.
//! 3. Decide what your program does when [publishing fails](operating#publish-errors).
//! 4. Connect [when your program starts](operating#start), and close the hub [last when it
//!    stops](operating#shutdown).
//! 5. If your processes already run without a broker, [replace them all at
//!    once](tower_sse::hub#moving-to-a-broker). Before later deployments, check [what may
//!    change](operating#rolling-deployments).
//!
//! # What is guaranteed
//!
//! Clients receive events *at most once*, and losses are reported:
//!
//! - All clients receive a topic's events in the same order and without duplicates, except after a
//!   large step of Redis' [clock](operating#order-and-ids).
//! - Once [`publish`](tower_sse::hub::Hub::publish) has returned `Ok`, each client of the topic
//!   that stays connected or resumes receives the event or a [gap](tower_sse::hub::GapPolicy). This
//!   doesn't apply to events published after their topic [ended](tower_sse::hub::Hub::end), or to
//!   topics that keep only their [latest](tower_sse::Retention::latest) event.
//! - After a loss, each client that may have missed an event receives a gap for each of its topics.
//!   This holds even if Redis restarts with older data or none, if a lagging replica is promoted,
//!   or if the stream is deleted, trimmed or replaced by an older copy. There are [three rare
//!   exceptions](operating#losses).
//!
//! # Clusters and replicas
//!
//! In a cluster, your URL can name any node. With replicas but no cluster, each connection must
//! lead to the primary, even after a failover. [Ask Sentinel](Redis::open_by_sentinel),
//! [list](Redis::open_any) all servers' URLs, or use a host name that always leads to the primary.
//!
//! # Features
//!
//! - `runs`: [`Redis::runs`], a store for [runs](tower_sse::runs)
//! - `tls`: `rediss://` URLs, [with rustls](#tls)
//! - `tracing`: log lines. Lost connections, lost events and a Redis that can delete keys are
//!   logged at WARN, failed attempts to reconnect at DEBUG.
//!
//! # TLS
//!
//! For `rediss://` URLs, enable the `tls` feature. By default, your program trusts the operating
//! system's root certificates, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR` if set. With
//! `Redis::tls`, your program can trust other root certificates or present a client certificate.
//! The server's certificate must name the host to which the program connects. If Sentinel gives
//! addresses instead of names, set `resolve-hostnames` and `announce-hostnames` to `yes` in
//! Sentinel's configuration.
//!
//! Install a crypto provider before you connect. Otherwise, connecting returns an error. Depend on
//! `rustls` and call `rustls::crypto::aws_lc_rs::default_provider().install_default()` or the
//! `ring` equivalent.
//!
//! # Entries
//!
//! Other programs can publish with `XADD`, which adds an entry with these fields:
//!
//! - `topic`: required
//! - `data`: required, can be empty
//! - `event`: the event's name, without line breaks or U+0000
//! - `retry`: a reconnection time in milliseconds, only digits
//! - `comment`: ignored by clients
//!
//! Values are UTF-8 text, and each field appears at most once. Other fields are ignored.
//!
//! Use the hub's [key](Redis::broker) and pass `NOMKSTREAM`. Without `NOMKSTREAM`, `XADD` would
//! re-create a lost stream, which processes could mistake for the old one. With redis-py:
//!
//! ```python
//! import redis
//!
//! server = redis.from_url("redis://127.0.0.1/")
//! event = {"topic": "news", "data": "hello"}
//! server.xadd("app:events", event, nomkstream=True, maxlen=100_000, approximate=True)
//! ```
//!
//! If the stream is missing, `XADD` returns nil and doesn't publish the event. Try again: a
//! connected hub creates the stream within seconds.
//!
//! Some Redis clients repeat a command if the connection breaks before the reply. An event can then
//! be published twice. To prevent this, set `maxRetriesPerRequest` to 0 in ioredis and iovalkey.
//! Don't set a reconnection policy in fred or `retry_on_error` in rustis. If you call
//! `redis.Redis()` in redis-py, pass `retry=None`.
//!
//! Let Redis assign the id (`*`). An id is out of range if its time is 100 years or more ahead of
//! the server's clock, or if its counter, after the hyphen, is above 1,048,575. If the stream has
//! such an id, no process can read or publish events: delete the whole stream.
//!
//! Entries in another format are skipped and [counted](BrokerStats::foreign_entries). Don't use the
//! field names `gap`, `skip` and `end`: hubs use them to mark losses, to advance the ids and to end
//! topics.
//!
//! After a topic has [ended](tower_sse::hub::Hub::end), processes ignore the topic's further events
//! until its last event exceeds the hub's age limit, or a loss is reported.

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]
// Without a feature, links to its items are broken, and private items for it are unused.
#![cfg_attr(
    not(all(feature = "runs", feature = "tls", feature = "tracing")),
    allow(rustdoc::broken_intra_doc_links, dead_code, unused_imports)
)]

// The rigs that the tests share with other packages name this crate `tower_sse_redis`.
#[cfg(all(test, unix, feature = "runs"))]
extern crate self as tower_sse_redis;

mod broker;
mod redis;
#[cfg(feature = "runs")]
mod runs;
mod server;
#[cfg(all(test, unix, feature = "runs"))]
#[path = "../../../tests/support/programs.rs"]
mod support;

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
#[doc = include_str!("../docs/running.md")]
pub mod running {}

pub use crate::broker::RedisBroker;
pub use crate::redis::Redis;
#[cfg(feature = "runs")]
pub use crate::runs::RedisRuns;
#[cfg(any(test, tower_sse_simulation))]
pub use crate::server::set_dialer;
#[cfg(feature = "tls")]
#[doc(inline)]
pub use tower_sse_broker::Tls;
#[doc(inline)]
pub use tower_sse_broker::{BrokerStats, Credentials, Error, ErrorKind, Health, LogStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Access to private code for the fuzz targets.
#[cfg(fuzzing)]
pub mod fuzzing {
    use tower_sse::Event;

    use crate::broker::Entry;

    /// Decodes an entry with these alternating names and values. Returns `None` if the entry isn't
    /// an event.
    #[must_use]
    pub fn event_of_entry(fields: Vec<Vec<u8>>) -> Option<(String, Event)> {
        match Entry::decode(fields) {
            Entry::Event { topic, event, .. } => Some((topic, event)),
            _ => None,
        }
    }
}
