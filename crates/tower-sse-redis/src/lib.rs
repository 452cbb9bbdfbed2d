//! Connects the hubs of several processes through Redis Streams, and lets the processes share runs.
//! The crate needs Redis 7 or Valkey. We tested it with Redis 7.0 and Valkey 9.1, but not with
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
//! Before you run a second process, read the page [operating]. It covers errors, sizes, losses,
//! availability and shutdown. The page [running] is a checklist for the Redis server's operator.
//!
//! Every process reads the same Redis stream in the same order, and gives each event the same id,
//! so a client can reconnect to any process. When a user logs out, you can [close the user's event
//! streams in all processes](tower_sse::streams#many-processes).
//!
//! [`Hub::connect`](tower_sse::hub::Hub::connect) spawns a task that follows the stream. The task
//! ends when the hub is closed, or when its last clone and last subscription are dropped. If the
//! connection breaks, the task reconnects and continues after the last event that it read.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates, except after a large step of Redis' [clock](operating#order-and-ids).
//! - If [`publish`](tower_sse::hub::Hub::publish) has returned `Ok` and a client of the event's
//!   topic stays connected or resumes, the client receives the event or a
//!   [gap](tower_sse::hub::GapPolicy), unless the topic had [ended](tower_sse::hub::Hub::end) or
//!   keeps only its [latest](tower_sse::Retention::latest) event. This holds even if Redis restarts
//!   with an older state or without data, if a lagging replica is promoted, if an older copy
//!   replaces the stream, or if the stream is deleted or trimmed. After a loss, each client that
//!   may have missed an event receives a gap for each of its topics. In [some
//!   cases](operating#losses), it receives two.
//! - Sometimes only the processes that received the lost event or its acknowledgement can know of
//!   the loss. One of them reports it within seconds of reaching Redis. Until then, clients can
//!   receive newer events before the gap.
//! - If `publish` returned [refused](tower_sse::hub::PublishError::Refused), the event is not
//!   published. If it returned [unknown](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! In other words, clients receive events *at most once*, and losses are reported. Publishing is
//! *at most once*, or *at least once* if you publish again after an unknown outcome.
//!
//! A loss goes undetected in three cases:
//!
//! - Redis loses an entry (an event or a [`gap`](#entries)), and all processes that received the
//!   entry or its acknowledgement stop before they report the loss. If Redis' clock is then behind
//!   that entry's id, clients that received the event also miss new events, until the clock has
//!   passed that id. The page [operating](operating#losses) says how to prevent losses in a
//!   restart.
//! - A program deletes a single entry (`XDEL`) before a process has read it. That process's clients
//!   miss the event without a gap.
//! - After a fail-over, the old and the new primary both accept events, and one has assigned an id
//!   ahead of the other's clock. [`min-replicas-to-write`](operating#losses) prevents this.
//!
//! # Entries
//!
//! Any program can publish: an event is one entry of the stream, with these fields.
//!
//! - `topic`: required
//! - `data`: required, can be empty
//! - `event`: the event's name, without line breaks or U+0000
//! - `retry`: a reconnection time in milliseconds, only digits
//! - `comment`: a comment, which clients ignore
//!
//! Values are UTF-8 text. The fields can be in any order, each at most once. Other fields are
//! ignored. Add the entry to the stream with the hub's [key](Redis::broker), and let Redis assign
//! the id (`*`). Pass `NOMKSTREAM`: otherwise, `XADD` would re-create a lost stream, and processes
//! could mistake it for the old one. With redis-py, for the key `news`:
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
//! Try again: a hub creates the stream when it connects, or within seconds if it's already
//! connected.
//!
//! If a program writes an id itself, the id can be out of range. This happens if its time is 100
//! years or more ahead of the server's clock, for example because it's in microseconds instead of
//! milliseconds. It also happens if its counter, the number after the hyphen, is above 1,048,575.
//! No process can read such an entry, or publish after it. Publishing is refused with an error that
//! names the entry, and says how to delete the stream. All processes recover once the entry is
//! removed.
//!
//! Entries in another format are skipped and [counted](BrokerStats::foreign_entries). Three field
//! names are reserved for entries that hubs add. `gap` marks a loss, which every process reports to
//! its clients. `skip` makes Redis assign higher ids to later entries. `end` marks the last event
//! of its topic. Each process remembers ended topics up to [a limit](tower_sse::hub::Hub::end). A
//! process with more ended topics than that forgets some of them, and may then accept events of a
//! topic that has ended in other processes.
//!
//! # TLS
//!
//! To use `rediss://`, enable the `tls` feature, which uses rustls. Root certificates come from
//! `Redis::tls` if you set them there. Otherwise, they come from the places that the variables
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or from the operating system if neither is set.
//! `Redis::tls` also sets a client certificate and the server's name.
//!
//! Install a crypto provider before you connect: add `rustls` to your dependencies, and call
//! `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the `ring` equivalent.
//! Without a provider, connecting returns an error.
//!
//! # Permissions
//!
//! If an ACL restricts the Redis user, grant it the keys, channels and commands listed on the page
//! [running](running#permissions). If the user may run `CLIENT SETNAME`, the connections have
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
//! after a fail-over. There are three ways: let the program [ask
//! Sentinel](Redis::open_by_sentinel), [list](Redis::open_any) the URLs of all servers, or connect
//! to a DNS name or a proxy that always leads to the primary.

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]
// Without a feature, links to its items are broken, and items for it alone are unused.
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
#[path = "../../../tests/support/programs.rs"]
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
#[cfg(any(test, tower_sse_simulation))]
pub use crate::server::set_dialer;
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
