//! Keeps the events of a [`tower_sse`] hub in an SQLite file, so server-sent events survive a
//! restart.
//!
//! You deploy a new version, and every client loses its place, because the events were in the old
//! process's memory. This crate keeps a hub's events in a table of an SQLite file. The new process
//! loads them when it starts, and clients resume after the last event that they received. The old
//! process and the new one can run at the same time.
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub};
//! use tower_sse_sqlite::Sqlite;
//!
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("weather").resume(last).response()
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::connect(Sqlite::open("events.db")?.broker("news")).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("weather", "rain").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! To convert a program that uses `Hub::new()`, run `cargo add tower-sse-sqlite`, add `use
//! tower_sse_sqlite::Sqlite;`, and call `Hub::connect` as above. If your `main` returns an
//! `io::Result`, change its return type to `Result<(), tower_sse::BoxError>`. Call
//! [`publish`](tower_sse::hub::Hub::publish) instead of
//! [`publish_now`](tower_sse::hub::Hub::publish_now), which cannot wait for the file. The first
//! connection creates the file and the table `news`, which holds any number of topics.
//!
//! # Publishing by SQL
//!
//! The file can be your program's database. The broker's name is the name of its table, and an
//! `insert` into this table publishes an event:
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! insert into news (topic, data) values ('orders:42', 'paid');
//! commit;
//! ```
//!
//! Any program with SQLite 3.37 or later can run this transaction, on any connection. The event is
//! published if and only if the transaction commits. SQLite has one writer at a time, so row ids
//! follow the order of the commits, and no reader can miss a row that commits late. A hub notices
//! the commit within about 20 milliseconds.
//!
//! You can set the columns below. The table fills in all other columns.
//!
//! | the&nbsp;column | holds |
//! |---|---|
//! | `topic` | the topic, up to 1 KiB |
//! | `data` | the data, up to 1 MiB |
//! | `event` | the event's name, up to 256 bytes without line breaks or U+0000; or null |
//! | `retry` | a reconnection time of 0 or more milliseconds, or null |
//! | `comment` | a comment, which clients ignore, up to 4 KiB, or null |
//! | `ends` | 1 for the [last event](tower_sse::hub::Hub::end) of its topic; 0 by default |
//!
//! The limits are constraints on the table, so they apply to both programs and hubs. An `insert`
//! beyond a limit fails with an error that names it, such as `CHECK constraint failed: data has at
//! most 1 MiB`. If a hub publishes such an event, only this event is
//! [refused](tower_sse::hub::PublishError::Refused). An `insert` with an `id` below the newest
//! fails too, because no connected client would receive the event.
//!
//! A trigger can publish each update of another table:
//!
//! ```sql
//! create trigger publish_order after update on orders begin
//!     insert into news (topic, data) values ('orders:' || new.id, new.status);
//! end;
//! ```
//!
//! An `update` of a row reaches only processes that have not read the row yet. If you delete rows,
//! start with the oldest, as the hub does. Otherwise, if a process has not read a deleted row yet,
//! its clients miss the event without a gap. If the newest row is gone, a process that has read it
//! reports a loss to all clients.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive a topic's events in the same order, without duplicates.
//! - An event is published when its transaction has committed, or when
//!   [`Hub::publish`](tower_sse::hub::Hub::publish) has returned `Ok`. If a client of the event's
//!   topic stays connected or resumes, it receives the event or a [gap](tower_sse::hub::GapPolicy),
//!   unless the topic had [ended](tower_sse::hub::Hub::end) or keeps only its
//!   [latest](tower_sse::Retention::latest) event. This holds even if processes are killed, or the
//!   file is removed, replaced or restored while it is open.
//! - If `publish` returned [refused](tower_sse::hub::PublishError::Refused), the event is not
//!   published. If it returned [unknown](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! There are two exceptions. A power failure can undo the newest commits, unless you [set
//! `synchronous`](operating#power-failures). And if you replace the file with an older copy while
//! no process is running, the loss goes unnoticed. In both cases, clients receive no gap for the
//! lost events. They still receive every later event, unless the clock was also set back, or a
//! program publishes with SQL before the first hub connects.
//!
//! # When to take another store
//!
//! SQLite is for processes on one machine, with the file on a local disk. For several machines, use
//! [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres) if your data is in PostgreSQL, and
//! [`tower-sse-redis`](https://docs.rs/tower-sse-redis) otherwise. To switch, change the
//! dependency, its `use`, and the line that opens the store. PostgreSQL also needs its schema. All
//! methods except [`Sqlite::pragma`] and [`SqliteBroker::max_bytes`] have counterparts in those
//! crates. If there's only one process, and events needn't outlive it, use
//! `Hub::new()`.
//!
//! The page [operating] says where to put the file, and what can happen to it.
//!
//! # Features
//!
//! - `bundled` (default): compiles SQLite, which needs a C compiler. Without this feature, the
//!   crate links the system's SQLite, 3.37 or later.
//! - `tracing`: log lines at the levels DEBUG, WARN and ERROR
//!
//! The crate uses rusqlite 0.39. If your program also uses rusqlite, or sqlx with SQLite, choose a
//! version with the same `libsqlite3-sys`.
//!
//! # How it works
//!
//! Each hub has one connection, on a thread of its own, so a slow disk does not block your runtime.
//! Events published during a commit share the next transactions. Every 20 milliseconds, the thread
//! asks SQLite whether another connection has committed (`PRAGMA data_version`). This takes about
//! 0.3 % of a processor.
//!
//! Row ids start at the current time in microseconds. Whenever a hub connects, they jump ahead to
//! the current time. Each row also has a random number. The hub compares a row's id and random
//! number with those that it read or published earlier. If rows that were not trimmed are missing,
//! it adds a mark. Every process reports a gap when it reads the mark.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings, rust_2018_idioms), allow(dead_code, unused_variables))))]

// | `sqlite.rs` | the file, the broker of a table, and its options |
// | `publisher.rs` | publishing in batches |
// | `table.rs` | the table, and the statements that hubs send |
// | `worker.rs` | the thread that sends them |
// | `sqlite_log.rs` | reading the table, as `tower_sse_broker` follows it |
// | `health.rs`, `error.rs` | what programs and operators see |

mod error;
mod health;
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
mod publisher;
mod sqlite;
mod sqlite_log;
mod table;
mod worker;

pub use self::error::{Error, ErrorKind};
pub use self::health::{BrokerStats, Health, LogStats};
pub use self::sqlite::{Sqlite, SqliteBroker};
