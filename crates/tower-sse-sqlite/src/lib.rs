//! A hub of [`tower_sse`] over an SQLite file: server-sent events that survive a restart, without a
//! server.
//!
//! You deploy a new version, and every client that reconnects has lost its place, because the
//! events were in the memory of the old process. This crate keeps the events of a hub in a table of
//! an SQLite file. The new process loads them when it starts, and clients resume after the last
//! event that they have received. The old process and the new one can run at the same time.
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
//! To change a program with `Hub::new()`, run `cargo add tower-sse-sqlite`, add the `use` of
//! `Sqlite`, and replace `Hub::new()` with
//! `Hub::connect(Sqlite::open("events.db")?.broker("news")).await?`. If your `main` returns an
//! `io::Result`, let it return `Result<(), tower_sse::BoxError>`. The first connection creates the file and the table.
//! `news` is the name of the table, and the hub has any number of topics in it. Instead of
//! [`publish_now`](tower_sse::hub::Hub::publish_now), which cannot wait for the file, call
//! [`publish`](tower_sse::hub::Hub::publish).
//!
//! # Publishing by SQL
//!
//! The file can be the database of your program. The name of the broker is the name of its table,
//! and an `insert` into this table publishes an event:
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! insert into news (topic, data) values ('orders:42', 'paid');
//! commit;
//! ```
//!
//! Clients receive the event if and only if the transaction commits, whichever connection or
//! program has run it. SQLite has one writer at a time, so the ids of the rows follow the order of
//! the commits, and no reader can miss a row that commits late. A hub notices the commit within
//! about 20 milliseconds.
//!
//! These columns are yours. Leave out all others, which the table fills in:
//!
//! | the&nbsp;column | holds |
//! |---|---|
//! | `topic` | the topic, up to 1 KiB |
//! | `data` | the data, up to 1 MiB |
//! | `event` | the event's name, up to 256 bytes without a line break or U+0000, or null |
//! | `retry` | a reconnection time of 0 or more milliseconds, or null |
//! | `comment` | a comment, which clients ignore, up to 4 KiB, or null |
//! | `ends` | 1 for the [last event](tower_sse::hub::Hub::end) of its topic; 0 by default |
//!
//! The limits are constraints of the table, for programs and hubs alike. A row that breaks one makes
//! its `insert` fail with an error that names the limit, such as `CHECK constraint failed: data has
//! at most 1 MiB`. If a hub publishes such an event, only this event is
//! [refused](tower_sse::hub::PublishError::Refused). An `insert` with an `id` below the newest fails
//! too, because no connected client would receive it.
//!
//! A trigger publishes each change of another table:
//!
//! ```sql
//! create trigger publish_order after update on orders begin
//!     insert into news (topic, data) values ('orders:' || new.id, new.status);
//! end;
//! ```
//!
//! An `update` of a row reaches only processes that have not read it yet. Delete rows from the oldest
//! on, as the hub does itself. A process that has read the newest row, and no longer finds it,
//! reports a loss to all clients.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates.
//! - An event counts as published when its transaction has committed, or when
//!   [`Hub::publish`](tower_sse::hub::Hub::publish) has returned `Ok`. Each client of its topic
//!   receives the event or a [gap](tower_sse::hub::GapPolicy), provided that the client stays
//!   connected or resumes. This also holds if processes are killed, and if the file is removed,
//!   replaced or restored while a process has it open.
//! - If `publish` returned [refused](tower_sse::hub::PublishError::Refused), the event is not
//!   published. If it returned [unknown](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! There are two exceptions. A power failure can take the newest events, unless you [set
//! `synchronous`](operating#power-failures). And nobody notices a loss if an older copy of the file
//! takes its place while no process runs. In both cases clients receive no gap for the lost events,
//! but they receive all later ones: no new event has the id of a lost one.
//!
//! # When to take another store
//!
//! SQLite is for processes on one machine, with the file on a local disk. For several machines, take
//! [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres) if your data are in PostgreSQL, and
//! [`tower-sse-redis`](https://docs.rs/tower-sse-redis) otherwise. All stores have the same
//! interface: to change, you change the dependency, its `use`, and the line that opens the store.
//! PostgreSQL also needs its schema.
//! Only [`Sqlite::pragma`] and [`SqliteBroker::max_bytes`] have no counterpart. If events need not
//! survive the process, `Hub::new()` needs no file at all.
//!
//! The page [operating] explains what happens to the file, and where it should be.
//!
//! # Features
//!
//! - `bundled` (default): compiles SQLite, which needs a C compiler. Without it, the crate links the
//!   system's library, which must be SQLite 3.37 or later.
//! - `tracing`: log lines at the levels DEBUG, WARN and ERROR
//!
//! The crate uses rusqlite 0.37. A program that also uses rusqlite, or sqlx with SQLite, needs a
//! version of it with the same `libsqlite3-sys`.
//!
//! # How it works
//!
//! Each hub has one connection, and one thread that uses it, so that a slow disk does not block your
//! runtime. Events that are published while a transaction commits wait for the next one, and share
//! it. Every 20 milliseconds, the thread asks SQLite whether another connection has committed
//! (`PRAGMA data_version`), which takes about 0.5 % of a processor.
//!
//! Ids start at the current time in microseconds. Whenever a hub connects, the next id jumps to the
//! current time again. Each row has a random number besides its id. The hub compares them with the rows that it has read
//! before and with the events that it has published. If rows are missing, it adds a mark to the
//! table, and every process reports a gap at this mark.

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
