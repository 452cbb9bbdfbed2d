//! A hub of [`tower_sse`] over PostgreSQL: publish server-sent events in the transaction that
//! changes your data.
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub};
//! use tower_sse_postgres::Postgres;
//!
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("orders:42").resume(last).response()
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let postgres = Postgres::open("host=127.0.0.1 user=app dbname=shop")?;
//! let hub = Hub::connect(postgres.broker("orders")).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("orders:42", "paid").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! Every program that speaks SQL can publish too, in its own transaction, with any
//! [client library](clients):
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! select tower_sse.publish('orders:42', 'paid', stream => 'orders');
//! commit;
//! ```
//!
//! Clients of the hub receive the event if and only if the transaction commits. The program writes
//! to no second system, and needs no relay that forwards rows from an outbox table. Clients that
//! reconnect, to any process, resume after the last event that they have received.
//!
//! The page [notifications] has a whole program. In one transaction, this program deletes the
//! session of a user who logs out, and publishes the event that closes the session's event streams.
//!
//! # Setup
//!
//! 1. In a migration of the program, apply [`SCHEMA`], grant the [rights](operating#rights) to the
//!    program's roles, and insert a row for each stream that a program publishes to before a hub
//!    connects: `insert into tower_sse.stream (name) values ('orders')`. To try it, apply
//!    [`schema/v1.sql`](https://docs.rs/crate/tower-sse-postgres/latest/source/schema/v1.sql) by
//!    hand: `psql --file schema/v1.sql`.
//! 2. Connect a hub in each process that serves clients, as above. A hub needs PostgreSQL 14 or
//!    later, and a tokio runtime with timers and IO.
//! 3. Before you run a hub in production, read [operating], which explains rights, poolers,
//!    fail-over, sizes and alerts.
//!
//! # What is guaranteed
//!
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates. The exception: if an older state of the server's data replaces a newer one,
//!   clients can receive an event again. The event then has another id, and the clients also
//!   receive a gap if the loss of the newer state [is noticed](operating#losses). An older state
//!   can come from a restored backup, or from a standby that lagged when it was promoted.
//! - An event that is published in a transaction counts as published when the transaction has
//!   committed. Any other event counts as published when
//!   [`Hub::publish`](tower_sse::hub::Hub::publish) has returned `Ok`. Each client of a published
//!   event's topic receives the event or a [gap](tower_sse::hub::GapPolicy), provided that the
//!   client stays connected or resumes. This also holds if the server restarts or crashes, if an
//!   older state of its data is restored, and if a standby that lags is promoted. The exception: a
//!   loss [is not noticed](operating#losses) if an older state replaces the data, and every process
//!   that had received or published newer events has stopped. Another exception: with
//!   `synchronous_commit = off`, a crash of the server can undo a commit, and clients receive
//!   neither the transaction's events nor a gap.
//! - When a client receives an event, the event and the changes of the event's transaction are
//!   already on the server's disk.
//! - If `publish` returned [refused](tower_sse::hub::PublishError::Refused), the event is not
//!   published. If it returned [unknown](tower_sse::hub::PublishError::Unknown), the event is
//!   published once or not at all.
//!
//! In short: an event in a transaction is published *exactly once*, when the transaction commits.
//! Apart from the exceptions above, clients receive events *at most once*, and losses are reported.
//!
//! # Publishing by SQL
//!
//! `tower_sse.publish(topic, data, stream)` publishes to the stream with this name. It has these
//! optional parameters:
//!
//! - `event`: the event's name
//! - `ends`: whether the event is the [last event](tower_sse::hub::Hub::end) of its topic
//! - `wake`: whether the call notifies hubs when the transaction commits. See below.
//! - `retry`: a reconnection time in milliseconds
//! - `comment`: a comment, which clients ignore
//!
//! An `INSERT` into `tower_sse.inbox` publishes any number of events:
//!
//! ```sql,insert
//! insert into tower_sse.inbox (stream, topic, data)
//!     select 'orders', 'orders:' || n, 'shipped' from generate_series(1, 100) n;
//! ```
//!
//! - An invalid event makes the statement fail, which aborts its transaction. An event is invalid
//!   if its topic or data is null, its stream is null or unknown, its data exceed 1 MiB, its topic
//!   exceeds 1 KiB, its comment exceeds 4 KiB, its name exceeds 256 bytes or has a line break, or
//!   its `retry` is negative.
//! - Hubs look for new events 10 times a second. If the server is repeatedly slow to answer, hubs
//!   look less often, with pauses of up to a second. If a program with a hub calls the hub's
//!   [waker](PostgresBroker::waker) after a commit, clients receive the event a few milliseconds
//!   after the call.
//! - With `wake => true`, any program can wake the hubs. But transactions with `wake => true`
//!   commit one after another, so use it only for rare events. In a measurement with 20
//!   connections, 5,983 transactions a second committed without `wake`, and 1,804 with it. In a
//!   transaction with `wake => true`, `PREPARE TRANSACTION` fails, and the transaction rolls back.
//! - A transaction that stays open delays only its own events.
//!
//! ## A table as the source
//!
//! A trigger can publish each change of an existing table. An invalid event aborts the transaction
//! that changes the table. If a row can be larger than 1 MiB, publish only the row's key:
//!
//! ```sql,key
//! create function publish_order() returns trigger language plpgsql as $$
//! begin
//!     perform tower_sse.publish('orders', new.id::text, stream => 'orders');
//!     return null;
//! end $$;
//!
//! create trigger publish after insert or update on orders
//!     for each row execute function publish_order();
//! ```
//!
//! If all rows are small, publish the whole row:
//!
//! ```sql,row
//! create function publish_order() returns trigger language plpgsql as $$
//! begin
//!     perform tower_sse.publish('orders:' || new.id, to_json(new)::text, stream => 'orders');
//!     return null;
//! end $$;
//!
//! create trigger publish after insert or update on orders
//!     for each row execute function publish_order();
//! ```
//!
//! # TLS
//!
//! For `sslmode=require` or
//! [`Postgres::tls`](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/struct.Postgres.html#method.tls),
//! enable feature `tls`, which uses rustls. The program must install a crypto provider before it
//! calls `Postgres::open` or `Postgres::tls`: add `rustls` to the dependencies and call
//! `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the `ring` equivalent.
//!
//! # Features
//!
//! - `tls`: connections over TLS by rustls
//! - `tracing`: log lines at the levels DEBUG, WARN and ERROR
//!
//! # How it works
//!
//! Programs insert rows into the table `inbox`. Numbers assigned there would not follow the order
//! of the commits: if row 7 committed after a reader had passed row 8, the reader would miss row 7.
//! Hubs therefore move the committed rows into the table `log`, and number them there. One
//! statement does both, and locks the stream's row in the table `stream`. Any hub can do this, so
//! no leader is needed.
//!
//! A log's first number is the server's time in microseconds. Later numbers rise by one,
//! so that a missing row shows as a hole. Each hub compares the rows that it reads with the rows
//! that it has read before, and with the events that it has published. If the log has lost rows,
//! the hub adds a mark to the log, and every process reports a gap at this mark.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings, rust_2018_idioms), allow(dead_code, unused_variables))))]

// | `postgres.rs`, `tls.rs` | what opens connections |
// | `postgres_broker.rs` | the broker of a stream, and its options |
// | `settings.rs` | what all connections of a hub have in common |
// | `connection.rs` | one connection, and the statements that hubs send |
// | `publisher.rs` | publishing in batches |
// | `postgres_log.rs` | reading the log, as `tower_sse_broker` follows it |
// | `health.rs`, `error.rs` | what programs and operators see |

#[doc = include_str!("../docs/clients.md")]
pub mod clients {}
mod connection;
mod error;
mod health;
#[doc = include_str!("../docs/notifications.md")]
pub mod notifications {}
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
mod postgres;
mod postgres_broker;
mod postgres_log;
mod publisher;
mod settings;
#[cfg(feature = "tls")]
mod tls;

pub use self::error::{Error, ErrorKind};
pub use self::health::{BrokerStats, Health, LogStats, Waiting};
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::{postgres::Postgres, postgres_broker::PostgresBroker};
#[doc(inline)]
pub use tower_sse_broker::Credentials;

/// The statements that create the schema `tower_sse`, to apply in a migration of the program. They
/// are also in the package, as `schema/v1.sql`.
pub const SCHEMA: &str = include_str!("../schema/v1.sql");

/// The version of the schema that this crate needs.
const SCHEMA_VERSION: i32 = 1;

/// Returns [`SCHEMA`] with `name` as the name of the schema, for [`Postgres::schema`].
///
/// ```
/// let statements = tower_sse_postgres::schema_named("billing_events")?;
/// assert!(statements.contains("create table \"billing_events\".log"));
/// # Ok::<_, tower_sse_postgres::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if `name` is not an identifier: lower-case ASCII letters, digits and
/// underscores, without a digit at the beginning, and at most 63 bytes.
pub fn schema_named(name: &str) -> Result<String, Error> {
    let name = settings::quoted(&settings::schema_name(name.to_owned())?);
    let statements = SCHEMA.replace("schema tower_sse", &format!("schema {name}"));
    Ok(statements.replace("tower_sse.", &format!("{name}.")))
}
