//! Runs [`tower_sse`] hubs on PostgreSQL, so you can publish server-sent events in your own
//! transactions.
//!
//! You change a row, and clients should see the change. If you publish after the commit, a crash in
//! between loses the event. If you publish before it, the transaction can still roll back. With
//! this crate, you publish in the transaction, and the event is published if and only if it
//! commits.
//!
//! Connect a hub in each process that serves clients:
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
//! Any program that speaks SQL can publish in its own transaction, with any [client
//! library](clients):
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! select tower_sse.publish('orders:42', 'paid', stream => 'orders');
//! commit;
//! ```
//!
//! You need no second system, and no relay for an outbox table. Clients can reconnect to any
//! process, and resume after the last event that they received.
//!
//! The page [notifications] has a complete program with log-outs.
//!
//! # Setup
//!
//! 1. In a migration, apply [`SCHEMA`], grant the [rights](operating#rights) to your roles, and
//!    insert a row for each stream: `insert into tower_sse.stream (name) values ('orders')`. To try
//!    this out, run
//!    [`schema/v1.sql`](https://docs.rs/crate/tower-sse-postgres/latest/source/schema/v1.sql) with
//!    `psql --file`.
//! 2. Connect a hub, as above. You need PostgreSQL 14 or later, and a tokio runtime with timers and
//!    IO.
//! 3. Before you go live, read the page [operating].
//!
//! # What is guaranteed
//!
//! An event in a transaction is published *exactly once*, when the transaction commits. Clients
//! receive it *at most once*, and losses are reported, with the two exceptions below.
//!
//! - An event is published when its transaction has committed, or when
//!   [`Hub::publish`](tower_sse::hub::Hub::publish) has returned `Ok`. If `publish` returned
//!   [refused](tower_sse::hub::PublishError::Refused), the event is not published. If it returned
//!   [unknown](tower_sse::hub::PublishError::Unknown), the event is published once or not at all.
//! - A client that stays connected or resumes receives each published event of its topics, or a
//!   [gap](tower_sse::hub::GapPolicy). This holds even if the server restarts or crashes, an older
//!   state of its data is restored, or a lagging standby is promoted. It doesn't hold for events of
//!   a topic that had [ended](tower_sse::hub::Hub::end), or that keeps only its
//!   [latest](tower_sse::Retention::latest) event.
//! - All clients of all processes receive the events of a topic in the same order and without
//!   duplicates.
//! - An event that a client has received is on the server's disk, with its transaction's changes.
//!
//! The two exceptions:
//!
//! - A restored backup or a lagging standby brings back an older state of the data. Clients can
//!   then receive an event again, with another id. The loss of newer events [can go
//!   unnoticed](operating#losses) once every process that had seen them has stopped.
//! - With `synchronous_commit = off`, a crash of the server can undo a commit. Clients then receive
//!   neither the transaction's events nor a gap.
//!
//! # Publishing by SQL
//!
//! `tower_sse.publish(topic, data, stream)` publishes to a stream, with these optional parameters:
//!
//! - `event`: the event's name
//! - `ends`: whether the event is the [last event](tower_sse::hub::Hub::end) of its topic. Hubs
//!   drop later events of the topic until its name is free again.
//! - `wake`: whether to notify hubs when the transaction commits. See below.
//! - `retry`: a reconnection time in milliseconds
//! - `comment`: a comment, which clients ignore
//!
//! One `INSERT` into `tower_sse.inbox` can publish any number of events:
//!
//! ```sql,insert
//! insert into tower_sse.inbox (stream, topic, data)
//!     select 'orders', 'orders:' || n, 'shipped' from generate_series(1, 100) n;
//! ```
//!
//! An invalid event makes the statement fail, which aborts its transaction. Stream, topic and data
//! must not be null, and the stream must exist. The data can be up to 1 MiB long, the topic 1 KiB,
//! the comment 4 KiB, and the name 256 bytes. The name must not contain line breaks. `retry` must
//! not be negative.
//!
//! Hubs look for new events about 10 times a second. If the server is slow, they pause for up to a
//! second. For a shorter delay, call a hub's [waker](PostgresBroker::waker) after the commit.
//! Clients then receive the event a few milliseconds later.
//!
//! A program without a hub can pass `wake => true` instead, which wakes the hubs that
//! [listen](Health::listens). Use it only for rare events, because such transactions commit one
//! after another: with 20 connections, we measured 30 % of the usual rate. After `wake => true`,
//! `PREPARE TRANSACTION` fails.
//!
//! A transaction that stays open delays only its own events, unless it [is open for
//! hours](operating#transactions).
//!
//! ## A table as the source
//!
//! A trigger can publish each change of an existing table. An invalid event aborts the transaction
//! that changes the table, so if a row can exceed 1 MiB, publish only its key:
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
//! To use `sslmode=require` or
//! [`Postgres::tls`](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/struct.Postgres.html#method.tls),
//! enable the `tls` feature, which uses rustls. Install a crypto provider before you call
//! `Postgres::open` or `Postgres::tls`: add `rustls` to your dependencies, and call
//! `rustls::crypto::aws_lc_rs::default_provider().install_default()`, or the `ring` equivalent.
//!
//! # Features
//!
//! - `tls`: TLS connections, with rustls
//! - `tracing`: log lines at the levels DEBUG, WARN and ERROR
//!
//! # How it works
//!
//! Programs that publish by SQL insert rows into the table `inbox`. If rows were numbered there,
//! row 7 could commit after a reader has passed row 8, and the reader would miss it. So hubs move
//! committed rows into the table `log`, and number them there.
//!
//! Each hub compares the rows that it reads with those that it has read or published before. If
//! such a row is lost, the hub adds a mark to the log. Every process reports a gap when it reads
//! the mark.

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

/// The statements that create the schema `tower_sse`, for a migration. The package has them too, as
/// `schema/v1.sql`.
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
/// Returns an error if `name` isn't an identifier: lower-case ASCII letters, digits and
/// underscores, at most 63 bytes, not beginning with a digit.
pub fn schema_named(name: &str) -> Result<String, Error> {
    let name = settings::quoted(&settings::schema_name(name.to_owned())?);
    let statements = SCHEMA.replace("schema tower_sse", &format!("schema {name}"));
    Ok(statements.replace("tower_sse.", &format!("{name}.")))
}
