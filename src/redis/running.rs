//! A checklist for the operator of the Redis server that hubs or runs use: permissions, sizes,
//! alerts, and what each metric means.
//!
//! [operating](super::operating) explains the settings of the program and what happens when Redis
//! fails.
//!
//! # Checklist
//!
//! 1. Redis 7 or Valkey. No unrelated program uses the [key](Redis::broker) of the hub or the [prefix](Redis::runs) of the runs.
//! 2. `maxmemory-policy noeviction`, and `maxmemory` at least twice the stream's memory. Any other
//!    policy can delete runs, and one that begins with `allkeys` also the whole stream. The program
//!    then logs a WARN when it connects, and [`RedisHealth::evicts`] returns `true`.
//! 3. `appendonly yes`, with `appendfsync always` if a restart may lose nothing, or `everysec` if a
//!    restart may lose a second. Clients receive a gap for what is lost.
//! 4. With replicas: `min-replicas-to-write 1`, and `min-replicas-max-lag` below Sentinel's
//!    `down-after-milliseconds`. The program [lists](Redis::open_any) the URLs of all servers, or uses a
//!    name that follows the primary.
//! 5. A user of its own, with the permissions below. Passwords that change come from
//!    [`Redis::credentials`].
//! 6. TLS: `rediss://`. `Redis::tls` sets an authority, a client certificate and the server's name.
//! 7. The alerts below.
//!
//! In each process, each hub has two connections and each `Runs` three. `CLIENT LIST` names them
//! `key:host:process`, or as [`Redis::client_name`] says.
//!
//! # Permissions
//!
//! A hub with the key `tower-sse`:
//!
//! ```text
//! ACL SETUSER app on >password ~tower-sse +xadd +xlen +xrange +xrevrange +xread +eval +time +info +client|setname +xtrim +memory|usage
//! ```
//!
//! `client|setname` only names the connections. `memory|usage` is needed only for
//! `sse_redis_stream_memory_bytes`, and `xtrim` only for [`RedisBroker::max_age`].
//!
//! [Runs](crate::runs) with the prefix `app`:
//!
//! ```text
//! ACL SETUSER runs on >password ~app:run:* &app:run:* +evalsha +script|load +info +client|setname +client|id +client|kill +xadd +xtrim +xlen +xrange +xrevrange +hset +hget +hmget +del +pexpire +time +publish +subscribe +unsubscribe
//! ```
//!
//! A URL with a database also needs `+select`. A program with these permissions can forge events
//! and answers. Share the key only with programs that you trust.
//!
//! # Sizes and limits
//!
//! - [`max_len`](RedisBroker::max_len), by default 100,000 entries: events per second of all topics ×
//!   the age of the hub's retention, or more
//! - [`max_age`](RedisBroker::max_age), by default none: at least that age; gives memory back after
//!   busy times
//! - memory of the stream: about 300 bytes for each event of 256 bytes
//! - memory of a run: about 5.3 kB, twice the length of its encoded key, and its events and 48 bytes
//!   for each batch of them, times 1.3 at most. [`max_memory`](crate::runs::RunsBuilder::max_memory)
//!   limits it for each process.
//! - [`timeout`](Redis::timeout), by default 3 seconds: more over slow links
//! - [`publish_deadline`](RedisBroker::publish_deadline), by default 2 seconds: how long a request may
//!   wait to publish
//! - delay before a reconnection: 25 to 50 ms at first, doubling up to 2 seconds, random. It cannot
//!   be set.
//!
//! # Metrics
//!
//! The example `metrics` serves these from [`RedisHealth`], [`BrokerStats`] and [`HubStats`], and has a dashboard for
//! Grafana in `examples/metrics/grafana.json`.
//!
//! - `sse_redis_ready`: it is 0 without a connection, and while the process catches up. Look at
//!   [`last_error`](RedisHealth::last_error).
//! - `sse_redis_reconnections_total`: it rises if Redis restarts, or a proxy closes idle
//!   connections.
//! - `sse_redis_losses_total`: Redis lost events, or may have, and clients received gaps. Check
//!   persistence and replication.
//! - `sse_publishes_total`: the example counts the outcomes of its calls of `publish`. `refused`: not published; see its
//!   [kind](ErrorKind). `unknown`: possibly published.
//! - `sse_publish_latency_seconds`: the time that its calls take to the acknowledgement. It is high with a slow
//!   disk (`appendfsync always`) or network, or a busy server.
//! - `sse_redis_stream_entries`: entries of the stream. At `sse_redis_stream_max_entries`, the
//!   oldest are trimmed.
//! - `sse_redis_stream_oldest_age_seconds`: age of the oldest entry. If it is below
//!   `sse_redis_stream_retain_for_seconds` while the stream is at its maximum, raise `max_len`.
//! - `sse_redis_stream_memory_bytes`: near `maxmemory`, lower `max_len`, set `max_age`, or add
//!   memory.
//! - `sse_redis_evicts`: if it is 1, set `maxmemory-policy noeviction`.
//! - `sse_redis_foreign_entries_total`: a program writes entries in another format. They are
//!   skipped.
//! - `sse_hub_lag_seconds`: age of the newest event when it was read. It rises if the process or
//!   the link is too slow.
//! - `sse_hub_gaps_total`: gaps that clients received, one for each topic. Each such client must
//!   load its state again.
//!
//! # Alerts
//!
//! ```text
//! min_over_time(sse_redis_ready[1m]) == 0
//! increase(sse_redis_losses_total[10m]) > 0
//! rate(sse_publishes_total{outcome!="acknowledged"}[5m]) > 0
//! histogram_quantile(0.99, rate(sse_publish_latency_seconds_bucket[5m])) > 0.25
//! sse_hub_lag_seconds > 5
//! sse_redis_evicts == 1
//! sse_redis_stream_entries >= sse_redis_stream_max_entries
//!   and sse_redis_stream_oldest_age_seconds < sse_redis_stream_retain_for_seconds
//! ```
//!
//! # When publishing is refused
//!
//! [`PublishError::Refused`] contains an [`Error`]: downcast to it. Its [kind](Error::kind) says
//! what to do:
//!
//! - [`OutOfMemory`](ErrorKind::OutOfMemory): raise `maxmemory`, or shorten the stream.
//! - [`ReadOnly`](ErrorKind::ReadOnly): look for a fail-over, missing replicas, or a full disk.
//! - [`NotPermitted`](ErrorKind::NotPermitted): compare the user with the permissions above
//!   (`ACL LOG`), and its password.
//! - [`Unreachable`](ErrorKind::Unreachable): check the network, and that Redis runs.
//! - [`Loading`](ErrorKind::Loading): wait until Redis has loaded its data.

// Names for the links above.
#[allow(unused_imports)]
use super::{BrokerStats, Error, ErrorKind, Redis, RedisBroker, RedisHealth};
#[allow(unused_imports)]
use crate::hub::{HubStats, PublishError};
