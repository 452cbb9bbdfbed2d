//! A [`Broker`](crate::hub::broker::Broker) that connects the hubs of several processes through Redis
//! Streams (feature `redis`). It needs Redis 7 or Valkey.
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub, redis::Redis};
//!
//! # #[cfg(feature = "axum")]
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("news").recent(10).resume(last).response()
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn events() {}
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // The only line that differs from a hub in one process, `Hub::new()`.
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
//! Read [operating] before you run a second process: it explains errors, sizes, losses,
//! availability, and shutdown. [running] is a checklist for the operator of the Redis server.
//!
//! Every process reads the same stream in the same order, and gives its events the same ids. A
//! client can therefore reconnect to any process with the id that it received from another.
//!
//! [`Hub::connect`](crate::hub::Hub::connect) spawns a task that follows the stream until the hub
//! is closed, or its last clone and its last subscription are dropped. If the connection breaks,
//! the task reconnects and continues after the last event that it has read.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates.
//! - For each event that [`publish`](crate::hub::Hub::publish) acknowledged, every client of its
//!   topic that stays connected or resumes receives the event or a [gap](crate::hub::GapPolicy).
//!   This also holds if Redis restarts with all of its data, with an older state or with none; if a
//!   lagging replica is promoted; if an older copy takes the place of the key; and if the key is
//!   deleted or trimmed. A client that returns after several losses receives one gap for each loss
//!   and topic, and the kept events between the gaps. Losses without an event between them are one
//!   gap.
//! - Newer events can precede the gap: other processes publish them while none that knew of the lost
//!   event can reach Redis. The gap follows within seconds after one of those processes can.
//! - An event that `publish` reported as
//!   [refused](crate::hub::PublishError::Refused) is not published. One that it reported as
//!   [unknown](crate::hub::PublishError::Unknown) is published once or not at all.
//!
//! A loss goes undetected in three cases:
//!
//! - Redis loses the event, or the entry of a gap, and every process that knew of it has stopped by
//!   then. A client that has received it can also miss later events, until their ids are above its
//!   own. [operating](operating#losses) says how to prevent it.
//! - A program deletes a single entry (`XDEL`) before a process has read it. The clients of that
//!   process miss the event without a gap.
//! - Two servers accept events for the same stream, and the newest id of one is ahead of the other's
//!   clock. An example is an old primary that still accepts events after a fail-over.
//!   [operating](operating#losses) says how to prevent it.
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
//! The text is UTF-8. Each of these fields may occur at most once, in any order. Other fields are
//! ignored. The id must be the one that Redis assigns (`*`). The entry must not create the stream
//! (`NOMKSTREAM`): processes detect a lost stream by its absence. Use the [key](Redis::broker) of the
//! hub, here `news`. With redis-py:
//!
//! ```python
//! import redis
//!
//! server = redis.from_url("redis://127.0.0.1/")
//! event = {"topic": "news", "data": "hello"}
//! server.xadd("news", event, nomkstream=True, maxlen=100_000, approximate=True)
//! ```
//!
//! If the stream is missing, `XADD` returns nil (`None` in Python). A hub creates the stream, for
//! example when it connects or publishes.
//!
//! An id is out of range if it is 100 years ahead of the server's clock, or if its counter is above
//! 1,048,575. The first happens if a program mistakes microseconds for milliseconds. No process can
//! read such an entry or publish after it. Publishing is refused with an error that names the entry
//! and the commands that remove it. When it is gone, all processes recover.
//!
//! Entries in another format are skipped and [counted](BrokerStats::foreign_entries). The field
//! names `gap`, `skip` and `end` are reserved for entries that hubs add: a `gap` marks a loss, which
//! every process reports to its clients, a `skip` only advances the ids, and an `end` marks the last
//! event of a topic. Each process remembers by itself which topics have ended, up to
//! [a limit](crate::hub::Hub::end): above it, a process may accept events of a topic whose name is
//! still taken in another.
//!
//! # TLS
//!
//! For `rediss://`, enable feature `redis-tls`, which uses rustls. The root certificates come from:
//!
//! 1. `Redis::tls`, if it sets an authority
//! 2. the file that the variable `SSL_CERT_FILE` names, if it is set
//! 3. otherwise, the operating system
//!
//! `Redis::tls` also sets a client certificate and the server's name.
//!
//! The program must install a crypto provider before it connects: add `rustls` to the dependencies
//! and call `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the `ring`
//! equivalent. Without a provider, connecting returns an error.
//!
//! # Permissions
//!
//! A Redis user with an access control list needs access to the key and to the commands that
//! [running](running#permissions) lists. If the user may run `CLIENT SETNAME`, `CLIENT LIST` names
//! each connection by its key, host and process, or as [`Redis::client_name`] says. Users and passwords can [change](Redis::credentials) at run time.
//!
//! # Clusters and replicas
//!
//! A stream is one key, so one node of a cluster has it; the URL can name any node of the cluster.
//! [Runs](crate::runs) need a server that is not a cluster.
//!
//! Without a cluster, but with replicas, the URL must lead to the primary, even after a fail-over:
//! use a name or a proxy that follows it, or [list](Redis::open_any) the URLs of all servers. There is
//! no Sentinel client.

mod broker;
mod connection;
mod connector;
mod credentials;
mod error;
mod health;
mod keeper;
mod limits;
mod lineage;
pub mod operating;
mod publisher;
mod reader;
#[allow(clippy::module_inception)]
mod redis;
pub mod running;
#[cfg(feature = "runs")]
mod runs;
mod server_info;
mod servers;
#[cfg(tower_sse_simulation)]
mod simulation;
mod stats;
mod stream;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(feature = "redis-tls")]
mod tls_setting;

#[cfg(feature = "runs")]
pub use self::runs::RedisRuns;
#[cfg(tower_sse_simulation)]
pub use self::simulation::{Dialing, Transport, set_dialer};
#[cfg(feature = "redis-tls")]
pub use self::tls::Tls;
pub use self::{
    broker::RedisBroker,
    credentials::Credentials,
    error::{Error, ErrorKind},
    health::RedisHealth,
    redis::Redis,
    stats::{BrokerStats, StreamStats},
};

/// The private functions that the fuzz targets call.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::stream::Entry;
    use crate::Event;

    /// Returns the topic and the event of an entry with these alternating names and values.
    #[must_use]
    pub fn event_of_entry(fields: Vec<Vec<u8>>) -> Option<(String, Event)> {
        match Entry::decode(fields) {
            Entry::Event { topic, event, .. } => Some((topic, event)),
            _ => None,
        }
    }
}
