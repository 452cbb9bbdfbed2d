//! Operation of several processes on one Redis server: settings, errors, losses and throughput.
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_sse::{hub::{Hub, Retention}, redis::Redis};
//!
//! # async fn run() -> Result<(), tower_sse::redis::Error> {
//! // 500 events a second over all topics, 20 a second in the busiest one. Clients can be away for
//! // an hour.
//! let broker = Redis::open("redis://redis.internal/")?.broker("chat").max_len(500 * 3600);
//! let health = broker.health();
//! let hub = Hub::builder()
//!     .retention(Retention::new().age(Duration::from_secs(3600)).events(20 * 3600).bytes(32 << 20))
//!     .max_memory(1 << 30)
//!     .connect(broker)
//!     .await?;
//! # _ = (health, hub);
//! # Ok(())
//! # }
//! ```
//!
//! The examples `chat_cluster` and `runs_cluster` run two processes behind nginx.
//!
//! # Order and ids
//!
//! - Redis orders the events of all topics and processes. Each client receives its events in that
//!   order, each id once, whichever processes it connects to.
//! - A publisher that awaits each [`publish`](Hub::publish) keeps its own order. Publishes that run
//!   at the same time can arrive in either order.
//! - A publish that races with the [end](Hub::end) of its topic may be acknowledged, although no
//!   client receives the event. Publishing fails once the process has received the end.
//! - An id depends only on the key and on the position in the stream. It stays valid when processes
//!   or replicas are added, and when Redis moves with its data. After a change of the key, clients
//!   receive a gap and then every event that is kept.
//! - A process can be behind the others, so it accepts an id that is up to 60 seconds ahead of the
//!   clock of Redis or of the newest id that it has read. A client that sends such an id receives
//!   only later events, and no gap. If the clock is set forward by more than that, a client that
//!   moves within the next two seconds can receive a gap and then events that it already has.
//! - Hubs on two servers with the same key can accept each other's ids, and report no gap. Give
//!   unrelated hubs different [keys](Redis::broker).
//!
//! # Publish errors
//!
//! - [`Refused`](PublishError::Refused): the event is certainly not published, because Redis was
//!   unreachable, loading, out of memory or read-only, as its [kind](ErrorKind) says. Publish again
//!   later, or report the failure to the author.
//! - [`Unknown`](PublishError::Unknown): the event was sent, but not acknowledged. It may have been
//!   published, may be published later, or may be lost. Publish again only if a duplicate is
//!   harmless, or if clients recognise it by a key in the data.
//!
//! Both are returned within the [deadline](RedisBroker::publish_deadline).
//!
//! # Sizes
//!
//! - [`Retention::age`] limits the age of events. Choose the longest absence to bridge.
//! - [`Retention::events`] limits the events of each topic. Choose the busiest rate × age.
//! - [`Retention::bytes`] limits the bytes of each topic. Choose the busiest rate × age × size.
//! - [`max_memory`](HubBuilder::max_memory) limits the memory of a process. Choose the total rate ×
//!   age × (size + 200 bytes).
//! - [`max_len`](RedisBroker::max_len) limits the entries in Redis. Choose the total rate × age, or
//!   more.
//!
//! What the rates are, and what else these settings limit:
//!
//! - The busiest rate is that of the busiest topic, in events per second. The total rate is that of
//!   all topics.
//! - The age is also how long a client can be away without a gap, and how far back a new process
//!   loads.
//! - `max_len` also limits how long a process can be disconnected without a loss.
//!
//! Set `maxmemory-policy noeviction`: another policy can evict the whole stream.
//!
//! # Only the newest value
//!
//! A process keeps the values of topics with [`Retention::latest`] in its memory, at any age. One that
//! starts later loads them from the stream:
//!
//! - It loads values up to the age of the hub's [`retention`](HubBuilder::retention), which is
//!   any age for [`Retention::latest`].
//! - [`max_len`](RedisBroker::max_len) counts the entries of all topics, so busy topics can trim the only
//!   entry of a quiet one. The new process then has no value of the quiet topic until the next one is
//!   published, and a first visit receives none. A client that reconnects with an id from before the
//!   oldest entry receives a gap for each topic.
//! - Publish each value again before `max_len` newer entries have followed, for example every minute.
//!   A `max_len` of the total rate × two minutes then loses none.
//!
//! # Losses
//!
//! Processes detect that Redis has lost events, and their clients receive gaps. A client that
//! receives a gap should load its state again. A loss goes undetected in the
//! [three cases](super#what-is-guaranteed) that the module lists. For the first of them, a process
//! knows of an event once it has received the event or its acknowledgement.
//!
//! - With `appendonly yes` and `appendfsync always`, each event is on disk before it is
//!   acknowledged, so a restart loses no acknowledged event.
//! - Replication is asynchronous, so a fail-over can lose the newest events.
//! - A process that was disconnected while the stream was trimmed past its last entry reports a gap
//!   to its own clients. If the server has restarted meanwhile, has been a replica, or has run a
//!   command that can put an older value in the place of a key (`COPY`, `MOVE`, `RENAME`, `RESTORE`,
//!   `SWAPDB`), the clients of all processes receive a gap. Give the stream a server on which other
//!   programs do not use these commands.
//! - An isolated primary must refuse events before a replica is promoted. Set
//!   `min-replicas-to-write 1`, and `min-replicas-max-lag` to less than the time after which the
//!   fail-over begins (Sentinel: `down-after-milliseconds`). Otherwise events that both servers accept
//!   at the same time can have the same ids, and those of the old one can be lost without a gap.
//!
//! # Availability
//!
//! - The host of the URL is resolved for each connection, so it should always lead to the primary:
//!   use a virtual address, a proxy, or DNS that Sentinel updates. Or [list](Redis::open_any) the URLs of
//!   all servers that can become the primary. There is no Sentinel client.
//! - In a cluster the stream is one key in one slot. The URL can name any node.
//! - Each hub has two connections in each process, which need
//!   [these permissions](super::running#permissions).
//! - A user with `+xadd` for the key can add markers of losses, after which all clients load their
//!   state again, and entries whose ids are [out of range](super#entries), which stop publishing. Do
//!   not share the key with programs that you do not trust.
//! - [`RedisHealth`] is for readiness probes, and [`Hub::stats`] returns the statistics of a
//!   process. The example `metrics` serves both, and [running](super::running) explains the figures.
//!
//! # Runs
//!
//! [Runs](crate::runs) of several processes keep their events in Redis too, under keys that begin
//! with the [prefix](Redis::runs) of the program. They need one server, or a primary with replicas:
//! a cluster is refused.
//!
//! - Each process has three connections for its runs, which need
//!   [these permissions](super::running#permissions). One is for loads of answers: at most 16 pages
//!   of about 64 KiB are under way at a time, so that a slow link delays nothing else.
//! - Everything with these permissions can read, end and forge the answers of all users: do not
//!   share the key with programs that you do not trust.
//! - With a `maxmemory-policy` other than `noeviction`, Redis can delete the keys of a running
//!   answer. [`RedisHealth::evicts`] returns whether it can.
//! - If Redis restarts or loses its data, or its clock jumps forward, no answer starts for the time of a
//!   lease, in which the running ones are restored. The same is true once no process has reached Redis
//!   for 20 seconds, or for a longer lease.
//! - While Redis is out of memory, running answers continue for clients of the same process, and no
//!   new one starts.
//! - [`RedisRuns::lease`] is the time after which the answers of a process that does not respond are
//!   declared lost.
//!
//! # Start
//!
//! [`Hub::connect`] fails at once if Redis is unreachable or still loading its data. A program that
//! may start before Redis connects in a loop, and serves requests when the hub is ready:
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_sse::{hub::Hub, redis::{Error, Redis}};
//!
//! /// Connects as soon as Redis is available.
//! async fn connect(url: &str) -> Result<Hub, Error> {
//!     loop {
//!         // An invalid URL stays invalid, so its error is returned.
//!         let redis = Redis::open(url)?;
//!         match Hub::connect(redis.broker("news")).await {
//!             Ok(hub) => return Ok(hub),
//!             Err(error) => eprintln!("{error:?}"),
//!         }
//!         tokio::time::sleep(Duration::from_secs(1)).await;
//!     }
//! }
//! # async fn run() -> Result<(), Error> {
//! # connect("redis://127.0.0.1/").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Once it is connected, a hub reconnects by itself.
//!
//! # Shutdown
//!
//! 1. Cancel the token of [`SseLayer::shutdown`](crate::SseLayer::shutdown): event streams end so
//!    that their clients reconnect, to another process.
//! 2. Wait until the server and all tasks that publish have ended.
//! 3. Call [`Hub::close`], or drop the hub.
//!
//! If the hub is closed first, running requests can no longer publish, and the event streams of
//! clients that reconnect to this process end at once.
//!
//! # The limits of one Redis stream
//!
//! One core of Redis serves about 1.4 million entries a second, in batches, to all processes
//! together: 7 processes can each follow 200,000 events a second, or 100 processes 14,000. Measure
//! it with events of your size. Each process decodes every event, whether or not it has subscribers
//! for it.
//!
//! Measured with events of 256 bytes on two processors of an AMD EPYC, which Redis and one process
//! share. The processes in the table are hubs in that one process (`benches/redis.sh`):
//!
//! | | |
//! |---|---|
//! | publishing, acknowledged, from 1, 50 and 200 tasks | 7,300, 136,000 and 172,000 events a second |
//! | the same with `PUBLISH` by hand, which stores nothing | 11,700, 249,000 and 238,000 |
//! | from `publish` to a client, at 1,000 events a second | 90 µs (median), 0.27 ms (99 %) |
//! | loading the history | 199,000 events a second over 100,000 topics, 333,000 over 10 |
//! | Redis, for each process that reads in batches | 0.7 µs an event |
//! | Redis, for 32 processes that read 1,000 single events a second | 54 % of a processor, 13 % with a pause of 5 ms |
//!
//! To scale further:
//!
//! 1. Set a [pause](RedisBroker::pause) of a few milliseconds, so that Redis answers fewer, larger reads.
//! 2. Use several hubs, one for each area of the program, each with a key and a Redis of its own. A
//!    page opens an event stream for each.
//!
//! Not implemented yet: reading from replicas, several Redis streams for one hub, and processes
//! that receive only the topics of their subscribers.

// Names for the links above.
#[allow(unused_imports)]
#[cfg(feature = "runs")]
use super::RedisRuns;
#[allow(unused_imports)]
use super::{ErrorKind, Redis, RedisBroker, RedisHealth};
#[allow(unused_imports)]
use crate::hub::{Hub, HubBuilder, PublishError, Retention};
