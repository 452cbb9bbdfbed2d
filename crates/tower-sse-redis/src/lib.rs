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
//! In the repository, `crates/tower-sse-redis/examples/cluster/run.sh notifications_cluster` starts
//! a whole program in two processes behind nginx.
//!
//! # Set-up
//!
//! For the guide's [notifications](tower_sse::guide::notifications) program, or one built like it,
//! this is enough:
//!
//! 1. Run Redis 7 or later, or Valkey, for this program only, with these lines in `redis.conf`.
//!    We've tested with Redis 7.0 and Valkey 9.1.
//!
//!    ```text
//!    # The server's address, for processes on other machines.
//!    bind 10.0.0.5
//!    # At least twice the hub's stream, which takes up to 39 MB with events of 300 bytes.
//!    maxmemory 100mb
//!    # With an `allkeys-…` policy, a full Redis could delete the whole stream.
//!    maxmemory-policy noeviction
//!    # Otherwise, a restart of Redis could lose all events.
//!    appendonly yes
//!    # For you, as administrator. Without this password, Redis would refuse other machines.
//!    user default on >another-password ~* &* +@all
//!    # The key `notifications` is the argument of `broker`.
//!    user app on >password ~notifications +xadd +xlen +xrange +xrevrange +xread +eval +time +info +client|setname +xtrim +memory|usage
//!    ```
//!
//!    If the server has run before, as Debian's has once it's installed, leave `appendonly yes` out:
//!    Redis would restart without its data. Run `CONFIG SET appendonly yes`, then `CONFIG REWRITE`.
//!
//! 2. [Change the
//!    broker](tower_sse::guide::notifications#restarts-and-several-processes). Its URL is
//!    `redis://app:password@host/`, or `rediss://…` with [TLS](#tls). Without Redis, the program
//!    can't start: have systemd [restart it](tower_sse::guide::nginx#two-servers).
//! 3. Replace all processes at once the first time: an old and a new process share neither events
//!    nor log-outs. With nginx, start the new processes on other ports, change the `upstream`,
//!    reload nginx, then stop the old processes. Later, replace them one by one.
//!
//! Any other program needs more:
//!
//! - If it ran without a broker, [change it](tower_sse::hub#moving-to-a-broker).
//! - Work out its [limits](operating#sizes), unless its clients load from a database what they
//!   missed.
//! - Decide what it does when [publishing fails](operating#publish-errors).
//! - Connect [when it starts](operating#start), and close the hub [last when it
//!   stops](operating#shutdown).
//!
//! Read what happens [when Redis or a process fails](operating#when-redis-or-a-process-fails). For
//! replicas, managed services or [runs](tower_sse::runs), see [the Redis server](running). Before
//! you change settings later, check [which can differ](operating#rolling-deployments).
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
//! # Tests
//!
//! In your program's tests, use a real Redis or tower-sse's [`MemoryBroker`], whose feature is
//! `testing`. A hub can't connect to fakeredis, miniredis or jedis-mock: they lack parts of `INFO`.
//!
//! [`MemoryBroker`]: https://docs.rs/tower-sse/latest/tower_sse/testing/struct.MemoryBroker.html
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
//! addresses instead of names, write `sentinel resolve-hostnames yes` and
//! `sentinel announce-hostnames yes` into Sentinel's configuration.
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
//! be published twice. To prevent this, set `maxRetriesPerRequest` to 0 in ioredis and iovalkey,
//! and `MaxRetries` to -1 in go-redis. Call `autoReconnect(false)` in Lettuce, which Spring Data
//! Redis uses: a `replayFilter` doesn't help. Don't set a reconnection policy in fred or
//! `retry_on_error` in rustis. If you call `redis.Redis()` in redis-py, pass `retry=None`.
//! StackExchange.Redis never repeats an `XADD`: since 3.1, pass `StreamAddAsync` a
//! `StreamAddOptions` with `CreateStream = false`.
//!
//! Let Redis assign the id (`*`). An id is out of range if its time is 100 years or more ahead of
//! the server's clock, or if its counter, after the hyphen, is above 1,048,575. If the stream has
//! such an id, no process can read or publish events: delete the whole stream.
//!
//! Entries in another format are skipped and [counted](BrokerStats::foreign_entries). Don't use the
//! field names `skip` and `end`: hubs use them to advance the ids and to end topics. An entry with
//! the field `gap` marks a loss, so all clients get a gap: add it only after a
//! [restore](operating#restores).
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
