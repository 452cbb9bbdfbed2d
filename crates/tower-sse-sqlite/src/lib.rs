//! Keeps the events of a [`tower_sse`] hub in an SQLite file, so server-sent events survive a
//! restart.
//!
//! You deploy a new version, and every client loses its place because the events were in the old
//! process's memory. With this crate, the new process loads the events from a file, and clients
//! resume after the last event that they received. The old and the new process can run at the same
//! time.
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
//! In your program, replace `Hub::new()` with `Hub::connect`, and
//! [`publish_now`](tower_sse::hub::Hub::publish_now) with
//! [`publish`](tower_sse::hub::Hub::publish). The first hub creates the file and the table `news`,
//! which holds all topics.
//!
//! # Publishing by SQL
//!
//! If your program's data is in the same file, you can publish in your own transactions. An event
//! is published if and only if its transaction commits. Insert a row into the broker's table, here
//! `news`:
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! insert into news (topic, data) values ('orders:42', 'paid');
//! commit;
//! ```
//!
//! Don't run these lines as one text: if one fails, Python's `executescript`, node:sqlite's `exec`
//! and the connection pool of Microsoft.Data.Sqlite keep the transaction open, and hubs
//! [can't publish](operating#what-can-happen-to-the-file).
//!
//! Any program with SQLite 3.37 or later can do this. Run `pragma busy_timeout = 5000` on its
//! connection, or pass `timeout: 5000` to node:sqlite: by default, node:sqlite and SQLite's shell
//! don't wait while a hub writes, and fail with `database is locked`. Turso can't publish: it
//! doesn't open a file with this table. Hubs usually notice the commit within 20 milliseconds and
//! send events in commit order.
//!
//! To publish before the first hub connects, create the table in a migration. The statements that
//! create it are in [`SCHEMA`] and in
//! [`schema/v1.sql`](https://docs.rs/crate/tower-sse-sqlite/latest/source/schema/v1.sql).
//!
//! You can set these columns:
//!
//! | the&nbsp;column | holds |
//! |---|---|
//! | `topic` | the topic, up to 1 KiB |
//! | `data` | the data, up to 1 MiB |
//! | `event` | the event's name, up to 256 bytes, without line breaks or U+0000; or null |
//! | `retry` | a reconnection time of 0 or more milliseconds, or null |
//! | `comment` | a comment, which clients ignore, up to 4 KiB, or null |
//! | `ends` | 1 for the [last event](tower_sse::hub::Hub::end) of its topic; 0 by default |
//!
//! If a text exceeds its limit, an `insert` fails with an error that names the limit.
//! `Hub::publish` returns [`TooLarge`](tower_sse::hub::PublishError::TooLarge). If the database's
//! encoding is UTF-16, each ASCII character counts as two bytes. Set `ends` to 2 only after a
//! [restore](operating#what-can-happen-to-the-file): this marks a loss, so all clients get a gap.
//! Leave the column `id` out: an `insert` with an id below the newest id fails.
//!
//! A trigger can publish each update of another table:
//!
//! ```sql
//! create trigger publish_order after update on orders begin
//!     insert into news (topic, data) values ('orders:' || new.id, new.status);
//! end;
//! ```
//!
//! If the event can't be published, for example because the status is null, the update fails. But
//! `update or ignore` succeeds without the event, so don't use it with such a trigger.
//!
//! If a trigger of yours on `news` refuses an event, `publish` returns `Refused`. Use
//! `raise(abort, …)`: `raise(rollback, …)` can refuse other events too.
//!
//! An `update` of a published row reaches only processes that haven't read the row yet. Delete rows
//! from the oldest on, and keep the newest. After you delete a row but keep an older one, clients
//! whose process hadn't read the deleted row get no gap. If the newest row is deleted, all clients
//! can get a gap.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive a topic's events in the same order, without duplicates.
//! - An event is published once its transaction has committed or
//!   [`Hub::publish`](tower_sse::hub::Hub::publish) has returned `Ok`. Each client of its topic
//!   that stays connected or resumes then receives the event or a [gap](tower_sse::hub::GapPolicy).
//!   This holds even if processes are killed, or the file, its `-wal` or its `-shm` is [removed,
//!   replaced or restored](operating#what-can-happen-to-the-file) while it's open. It doesn't hold
//!   for an event that is published after its topic [ended](tower_sse::hub::Hub::end), or in a
//!   topic that keeps only its [latest](tower_sse::Retention::latest) event.
//! - If `publish` returned [`Refused`](tower_sse::hub::PublishError::Refused), the event isn't
//!   published. If it returned [`Unknown`](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! In four more cases, clients may get no gap for lost events:
//!
//! - You [delete rows](#publishing-by-sql) other than the oldest.
//! - A power failure or a crash of the operating system undoes the newest commits. To prevent this,
//!   [set `synchronous`](operating#power-failures).
//! - You replace the file with an older copy while no process is running, and [add no
//!   mark](operating#what-can-happen-to-the-file).
//! - The file, its `-wal` or its `-shm` is removed or replaced, and a program that publishes with
//!   SQL doesn't reopen it.
//!
//! After a power failure that undoes commits, or after a replacement by an older copy, clients can
//! also miss later events if the clock was set back, or if a program publishes with SQL before the
//! first hub connects.
//!
//! # When to take another store
//!
//! SQLite is for processes on one machine, with the file on a local disk. For several machines, use
//! [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres) if your data is in PostgreSQL,
//! otherwise [`tower-sse-redis`](https://docs.rs/tower-sse-redis). To switch, change the
//! dependency, its `use`, the line that opens the store, all SQL that publishes, and anything that
//! the new crate lacks, such as `max_bytes`. Clients that reconnect get a gap. For PostgreSQL, also
//! create the crate's schema in your database. If you have only one process and events needn't
//! outlive it, use `Hub::new()`.
//!
//! The page [operating] says where to put the file and what can happen to it.
//!
//! # Features
//!
//! - `bundled` (default): compiles SQLite, which needs a C compiler. Without this feature, the
//!   crate links the system's SQLite, which must be 3.37 or later.
//! - `tracing`: log lines
//!
//! A program can have only one version of `libsqlite3-sys`. Otherwise, Cargo says that it failed to
//! select a version because two packages link to `sqlite3`. This crate takes the rusqlite that your
//! other dependencies need, from 0.39 to 0.43:
//!
//! | works with | doesn't work with |
//! |---|---|
//! | rusqlite 0.39 to 0.43 (from 0.41, with Rust 1.89) | rusqlite 0.38 |
//! | tokio-rusqlite 0.8, deadpool-sqlite 0.14, r2d2_sqlite 0.34 | tokio-rusqlite 0.7, deadpool-sqlite 0.13 |
//! | sqlx 0.9, SeaORM 2.0, diesel 2.3, refinery 0.9 | sqlx 0.8, SeaORM 1 |
//!
//! libsql 0.10 brings its own SQLite, which hubs in the same program then use too. Open a database
//! with libsql before the first hub connects, or libsql panics.
//!
//! # How it works
//!
//! Each hub has one connection, on its own thread, so a slow disk doesn't block your runtime. Every
//! 20 milliseconds, the thread looks for commits by other connections. This takes about 0.3 % of a
//! CPU core.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings, rust_2018_idioms), allow(dead_code, unused_variables))))]

// | `sqlite.rs` | the file, the broker of a table, and its options |
// | `publisher.rs` | publishing in batches |
// | `table.rs` | the table, and the statements that hubs send |
// | `files.rs` | the file, its `-wal` and its `-shm`, which can be removed or replaced |
// | `worker.rs` | the thread that executes the statements |
// | `sqlite_log.rs` | reading and trimming the table |
// | `error.rs` | the kinds of SQLite's errors |

mod error;
mod files;
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
mod publisher;
mod sqlite;
mod sqlite_log;
mod table;
mod worker;

pub use self::sqlite::{Sqlite, SqliteBroker};
pub use self::table::SCHEMA;
#[doc(inline)]
pub use tower_sse_broker::{BrokerStats, Error, ErrorKind, Health, LogStats};
