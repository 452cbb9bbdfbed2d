//! Many processes on one stream: what to set, what errors and losses mean, and how far it scales.
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_sse::{hub::Hub, redis::Redis};
//!
//! # async fn run() -> Result<(), tower_sse::redis::Error> {
//! // 500 events a second of all topics, 20 of the busiest, for clients that are away for an hour.
//! let redis = Redis::open("redis://redis.internal/")?.key("chat").max_len(500 * 3600);
//! let health = redis.health();
//! let hub = Hub::builder()
//!     .retain_for(Duration::from_secs(3600))
//!     .retain_events(20 * 3600)
//!     .retain_bytes(32 << 20)
//!     .max_memory(1 << 30)
//!     .connect(redis)
//!     .await?;
//! # _ = (health, hub);
//! # Ok(())
//! # }
//! ```
//!
//! The example `chat_cluster` runs two processes behind nginx.
//!
//! # Order and ids
//!
//! - Redis orders the events of all topics and processes. Each client receives its events in that
//!   order, each id once, whichever processes it connects to.
//! - A publisher that awaits each [`publish`](Hub::publish) keeps its own order. Publishes that run
//!   at the same time can arrive in either order.
//! - An id depends on the key and the place in the stream only. It stays valid when processes or
//!   replicas are added, and when Redis moves with its data. After a change of the key, clients
//!   receive a gap and then every event that is kept.
//!
//! # Publish errors
//!
//! | | the event | what to do |
//! |---|---|---|
//! | [`Refused`](PublishError::Refused) | is certainly not published: Redis was unreachable, loading, out of memory or read-only | publish again later, or report the failure to the author |
//! | [`Unknown`](PublishError::Unknown) | was sent without an answer: it is published, or will be, or is lost | publish again only if a duplicate is harmless, or if clients recognise it by a key in the data |
//!
//! Neither takes longer than the [deadline](Redis::publish_deadline).
//!
//! # Sizes
//!
//! | setting | limits | choose |
//! |---|---|---|
//! | [`retain_for`](HubBuilder::retain_for) | how long a client can be away without a gap, and how far back a new process loads | the longest absence to bridge |
//! | [`retain_events`](HubBuilder::retain_events), [`retain_bytes`](HubBuilder::retain_bytes) | the same, for each topic | the rate of the busiest topic × `retain_for` |
//! | [`max_memory`](HubBuilder::max_memory) | the same, for all topics of a process | the rate of all topics × `retain_for` × (size + 112 bytes) |
//! | [`max_len`](Redis::max_len) | what Redis keeps, and how long a process can lose its connection | the rate of all topics × `retain_for`, or more |
//!
//! Set `maxmemory-policy noeviction`: another policy can evict the whole stream.
//!
//! # Losses
//!
//! Processes detect that Redis has lost events, and their clients receive gaps, as the
//! [module](super#what-is-guaranteed) says. A client that receives a gap should load its state
//! again. One loss cannot be detected: that of an event which no running process knows any more. It
//! takes a failure of Redis and, before it is back, of every process that received the event or its
//! acknowledgement.
//!
//! - `appendfsync always` writes each event to disk before the acknowledgement, so a restart loses
//!   none.
//! - Replication is asynchronous, so a fail-over can lose the newest events. With
//!   `min-replicas-to-write 1`, an isolated primary refuses events after `min-replicas-max-lag`
//!   seconds.
//!
//! # Availability
//!
//! - The host of the URL is resolved for each connection: let it name the primary, by a virtual
//!   address, a proxy or DNS that Sentinel updates. There is no Sentinel client.
//! - In a cluster the stream is one key in one slot. The URL can name any node.
//! - Each process has two connections, which need these permissions:
//!
//! ```text
//! ACL SETUSER app on >password ~tower-sse +xadd +xrange +xrevrange +xread +eval +exists +time +ping
//! ```
//!
//! - [`RedisHealth`] is for readiness probes, and [`Hub::stats`] has the figures of a process. The
//!   example `metrics` serves both.
//!
//! # Shutdown
//!
//! 1. Cancel the token of [`SseLayer::shutdown`](crate::SseLayer::shutdown): streams end so that
//!    their clients reconnect, to another process.
//! 2. Wait until the server has ended, and until tasks that publish have.
//! 3. Call [`Hub::close`], or drop the hub.
//!
//! A hub that is closed first refuses the events of running requests, and ends streams that come
//! back to the same process.
//!
//! # Where one stream ends
//!
//! One core of Redis serves about 2 million entries a second, in batches, to all processes
//! together: 10 processes can follow 200,000 events a second, and 100 can follow 20,000. Each process
//! decodes every event, whether or not it has subscribers for it.
//!
//! <!-- FIGURES: those of benches/redis.sh go into this table, and confirm the 2 million above.
//!
//! | | |
//! |---|---|
//! | publish, acknowledged, by 1, 50 and 200 publishers | |
//! | from the call to a client, at 1,000 a second | |
//! | history at start | |
//! | Redis for each reader: batches, single entries, with a pause | |
//! | each process for an event that none of its subscribers receives | |
//! | memory of Redis for an event of 256 bytes | |
//! -->
//!
//! Beyond that:
//!
//! 1. A [pause](Redis::pause) of some milliseconds: Redis answers fewer and larger reads.
//! 2. Several hubs by area, each with a key and a Redis of its own. A page opens a stream for each.
//!
//! The ids and the protocol leave room for three more steps, which this version does not have:
//! reading from replicas; several streams that form one hub, with ids that have a place in each;
//! and routing by interest, so that a process receives only the topics of its subscribers.

// Names for the links above.
#[allow(unused_imports)]
use super::{Redis, RedisHealth};
#[allow(unused_imports)]
use crate::hub::{Hub, HubBuilder, PublishError};
