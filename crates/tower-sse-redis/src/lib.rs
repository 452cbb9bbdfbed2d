//! Connects the hubs of several processes through Redis Streams, and lets the processes share runs.
//! This crate needs Redis 7 or Valkey. It was tested with Redis 7.0 and Valkey 9.1, but not with
//! newer versions of Redis.
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
//! let hub = Hub::connect(Redis::open("redis://127.0.0.1/")?.broker("news")).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("news", "hello").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! Before you run a second process, read [operating], which explains errors, sizes, losses,
//! availability, and shutdown. The page [running] is a checklist for the operator of the Redis
//! server.
//!
//! Every process reads the same Redis stream in the same order, and gives each event the same id. A
//! client can therefore reconnect to any process with the id that it received from another process.
//! When a user logs out, a program can [close the user's event streams in all
//! processes](tower_sse::streams#many-processes).
//!
//! [`Hub::connect`](tower_sse::hub::Hub::connect) spawns a task that follows the stream. The task
//! ends when the hub is closed, or when the last clone of the hub and its last subscription are
//! dropped. If the connection breaks, the task reconnects and continues after the last event that
//! it has read.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates, except after a large step of Redis' [clock](operating#order-and-ids).
//! - If [`publish`](tower_sse::hub::Hub::publish) has returned `Ok`, each client of the event's
//!   topic receives the event or a [gap](tower_sse::hub::GapPolicy), provided that the client stays
//!   connected or resumes. This also holds if Redis restarts with all of its data, an older state,
//!   or no data. It also holds if a lagging replica is promoted, if an older copy replaces the
//!   stream, or if the stream is deleted or trimmed. After a loss, a client receives at least one
//!   gap for each of its topics. Losses without an event between them share this gap. In [some
//!   cases](operating#losses), a client receives two gaps for one loss.
//! - A loss may be known only to processes that received the lost event or its acknowledgement. One
//!   of these processes reports the loss within seconds of reaching Redis. Until then, clients can
//!   receive newer events before the gap.
//! - If `publish` returned [refused](tower_sse::hub::PublishError::Refused), the event is not
//!   published. If it returned [unknown](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! In other words: clients receive events *at most once*, and losses are reported. Publishing is
//! *at most once*, or *at least once* if the program publishes an event again after an unknown
//! outcome.
//!
//! A loss goes undetected in three cases:
//!
//! - Redis loses an entry (an event or a [`gap`](#entries)), and all processes that received this
//!   entry or its acknowledgement stop before any of them reports the loss. In this case, a client
//!   that received the lost event also misses new events whose ids are not higher than its last id.
//!   [operating](operating#losses) says how to prevent this.
//! - A program deletes a single entry (`XDEL`) before a process has read it. The clients of that
//!   process miss the event without a gap.
//! - After a fail-over, the old and the new primary both accept events, and one of them has
//!   assigned an id that is ahead of the other server's clock. `min-replicas-to-write` prevents
//!   this: see [operating](operating#losses).
//!
//! # Entries
//!
//! Any program can publish: an event is one entry of the stream, with these fields.
//!
//! - `topic`: required
//! - `data`: required, can be empty
//! - `event`: the event's name, without line breaks
//! - `retry`: a reconnection time in milliseconds, only digits
//! - `comment`: a comment, which clients ignore
//!
//! Values are text in UTF-8. The fields can be in any order, each at most once. Other fields are
//! ignored. Let Redis assign the id (`*`). Pass `NOMKSTREAM`: otherwise, `XADD` would re-create a
//! lost stream, and processes could mistake the new stream for the old one. Add the entry to the
//! stream with the hub's [key](Redis::broker), here `news`. With redis-py:
//!
//! ```python
//! import redis
//!
//! server = redis.from_url("redis://127.0.0.1/")
//! event = {"topic": "news", "data": "hello"}
//! server.xadd("news", event, nomkstream=True, maxlen=100_000, approximate=True)
//! ```
//!
//! If the stream is missing, `XADD` returns nil (`None` in Python), and the event is not published.
//! A hub creates the stream when it connects, or within seconds if it is already connected. Publish
//! the event again after that.
//!
//! An entry's id is out of range if its time is 100 years or more ahead of the server's clock, or
//! if its counter, the number behind the hyphen, is above 1,048,575. For example, a program may
//! have written the time in microseconds instead of milliseconds. No process can read such an entry
//! or publish after it. Publishing is then refused with an error that names the entry and the
//! commands that remove it. When the entry is gone, all processes recover.
//!
//! Entries in another format are skipped and [counted](BrokerStats::foreign_entries). The field
//! names `gap`, `skip` and `end` are reserved for entries that hubs add. An entry with `gap` marks
//! a loss, which every process reports to its clients. An entry with `skip` has no event: it only
//! makes Redis assign higher ids to later entries. An entry with `end` is an event, the last one of
//! its topic. Each process keeps its own list of the topics that have ended, up to [a
//! limit](tower_sse::hub::Hub::end). Above the limit, the process forgets some of these topics, and
//! may accept events of a topic that another process still treats as ended.
//!
//! # TLS
//!
//! For `rediss://`, enable feature `tls`, which uses rustls. The root certificates come from the
//! first of these that applies:
//!
//! 1. `Redis::tls`, if it sets an authority
//! 2. the file that the variable `SSL_CERT_FILE` names, if the variable is set
//! 3. the operating system
//!
//! `Redis::tls` also sets a client certificate and the server's name.
//!
//! The program must install a crypto provider before it connects: add `rustls` to the dependencies
//! and call `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the `ring`
//! equivalent. Without a provider, connecting returns an error.
//!
//! # Permissions
//!
//! If an ACL restricts the Redis user, permit the key and the commands that
//! [running](running#permissions) lists. If the user may run `CLIENT SETNAME`, the connections have
//! [names](Redis::client_name) in `CLIENT LIST`. Users and passwords can
//! [change](Redis::credentials) at run time.
//!
//! # Clusters and replicas
//!
//! A stream is one key, so it is on one node of a cluster. The URL can name any node. The keys of
//! [runs](tower_sse::runs) must be on one node too: in a cluster, their [prefix](Redis::runs) needs
//! a hash tag, such as `{app}`.
//!
//! If the server has replicas but is not a cluster, each connection must lead to the primary, even
//! after a fail-over. Let the program [ask Sentinel](Redis::open_by_sentinel), or use a name or a
//! proxy that follows the primary, or [list](Redis::open_any) the URLs of all servers.

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]
// Without a feature, links to its items are broken, and the items that only its module uses are
// unused.
#![cfg_attr(
    not(all(feature = "runs", feature = "tls", feature = "tracing")),
    allow(rustdoc::broken_intra_doc_links, dead_code, unused_imports)
)]

// The rigs of the workspace's tests name the crate and `support`.
#[cfg(all(test, unix, feature = "runs"))]
extern crate self as tower_sse_redis;

mod broker;
mod redis;
#[cfg(feature = "runs")]
mod runs;
mod server;
#[cfg(all(test, unix, feature = "runs"))]
#[path = "runs/tests/support.rs"]
mod support;

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
#[doc = include_str!("../docs/running.md")]
pub mod running {}

pub use crate::broker::{BrokerStats, LogStats, RedisBroker};
pub use crate::redis::Redis;
#[cfg(feature = "runs")]
pub use crate::runs::RedisRuns;
#[cfg(feature = "tls")]
pub use crate::server::Tls;
#[cfg(tower_sse_simulation)]
pub use crate::server::{Dialing, Transport, set_dialer};
pub use crate::server::{Error, ErrorKind, Health};
#[doc(inline)]
pub use tower_sse_broker::Credentials;

/// The README's code compiles too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The private functions that the fuzz targets call.
#[cfg(fuzzing)]
pub mod fuzzing {
    use tower_sse::Event;

    use crate::broker::Entry;

    /// Returns the topic and the event of an entry with these alternating names and values.
    #[must_use]
    pub fn event_of_entry(fields: Vec<Vec<u8>>) -> Option<(String, Event)> {
        match Entry::decode(fields) {
            Entry::Event { topic, event, .. } => Some((topic, event)),
            _ => None,
        }
    }
}
